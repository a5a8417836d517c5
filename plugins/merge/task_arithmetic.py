"""Task arithmetic: the base plus weighted task vectors (Ilharco et al., 2023)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ...core.contracts import MergeMethod, MergeParameters, ParameterSpec
from .arithmetic import LAMBDA, WEIGHT, weighted_sum


class TaskArithmetic(MergeMethod):
    """base + lambda * sum_i w_i (x_i - base).

    `weight` of each source; `normalize` (default false) divides the sum by the weights' sum; `lambda` (default 1).
    """

    name = "task_arithmetic"
    parameters = (WEIGHT, ParameterSpec("normalize", "shared", default=False), LAMBDA)
    keeps_base = True
    elementwise = True
    paper = "https://arxiv.org/abs/2212.04089"

    def merge(
        self, base: torch.Tensor | None, sources: Sequence[torch.Tensor], parameters: MergeParameters
    ) -> torch.Tensor:
        """The base plus the weighted sum of the task vectors."""
        assert base is not None
        return weighted_sum(base, (source - base for source in sources), parameters)
