"""Task arithmetic: the base plus weighted task vectors (Ilharco et al., 2023)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ...core.contracts import MergeParameters, OnePassMethod, ParameterSpec
from ...core.forms import TaskVectorSum, Term
from .task_vectors import LAMBDA, WEIGHT, task_vector_sum


class TaskArithmetic(OnePassMethod):
    """base + lambda * sum_i w_i (x_i - base).

    `weight` of each source; `normalize` (default false) divides the sum by the weights' sum; `lambda` (default 1).
    """

    name = "task_arithmetic"
    parameters = (WEIGHT, ParameterSpec("normalize", "shared", default=False), LAMBDA)
    keeps_base = True
    reads_weights = False
    paper = "https://arxiv.org/abs/2212.04089"

    def form(
        self, base: torch.Tensor | None, sources: Sequence[torch.Tensor], parameters: MergeParameters
    ) -> TaskVectorSum:
        """The base plus the weighted sum of the task vectors."""
        return task_vector_sum([Term(weight) for weight in parameters.per_source["weight"]], parameters)
