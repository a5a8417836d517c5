"""Linear: the weighted mean of the models (Wortsman et al., 2022, "Model soups")."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ...core.contracts import MergeParameters, OnePassMethod, ParameterSpec
from ...core.forms import WeightedSum


class Linear(OnePassMethod):
    """sum_i w_i x_i, divided by sum_i w_i if `normalize`; summed in float32 at least.

    `weight` of each source; `normalize` (default true).
    """

    name = "linear"
    parameters = (
        ParameterSpec("weight", "source", search=(0.0, 1.0)),
        ParameterSpec("normalize", "shared", default=True),
    )
    base_required = False
    reads_weights = False
    paper = "https://arxiv.org/abs/2203.05482"

    def form(
        self, base: torch.Tensor | None, sources: Sequence[torch.Tensor], parameters: MergeParameters
    ) -> WeightedSum:
        """Weighted mean; weights that sum to zero give values that are not finite if `normalize`."""
        weights = parameters.per_source["weight"]
        if not parameters.shared["normalize"]:
            return WeightedSum(weights)
        total = sum(weights)
        return WeightedSum(tuple(weight / total if total else float("nan") for weight in weights))
