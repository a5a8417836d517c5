"""Linear: the weighted mean of the models (Wortsman et al., 2022, "Model soups")."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ...core.contracts import MergeMethod, MergeParameters, ParameterSpec
from .arithmetic import accumulator


class Linear(MergeMethod):
    """sum_i w_i x_i, divided by sum_i w_i if `normalize`; summed in float32 at least.

    `weight` of each source; `normalize` (default true).
    """

    name = "linear"
    parameters = (
        ParameterSpec("weight", "source", search=(0.0, 1.0)),
        ParameterSpec("normalize", "shared", default=True),
    )
    base_required = False
    elementwise = True
    paper = "https://arxiv.org/abs/2203.05482"

    def merge(
        self, base: torch.Tensor | None, sources: Sequence[torch.Tensor], parameters: MergeParameters
    ) -> torch.Tensor:
        """Weighted mean; weights that sum to zero give values that are not finite if `normalize`."""
        weights = parameters.per_source["weight"]
        total = accumulator(sources[0])
        for source, weight in zip(sources, weights, strict=True):
            total.add_(source.to(total.dtype), alpha=weight)
        if parameters.shared["normalize"]:
            total.div_(torch.tensor(weights, dtype=total.dtype).sum())
        return total.to(sources[0].dtype)
