"""Passthrough: one model as it is, or scaled."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ...core.contracts import MergeParameters, OnePassMethod, ParameterSpec
from ...core.forms import WeightedSum


class Passthrough(OnePassMethod):
    """The only source, times `scale` (default 1)."""

    name = "passthrough"
    parameters = (ParameterSpec("scale", "source", default=1.0),)
    base_required = False
    source_count = (1, 1)
    reads_weights = False

    def form(
        self, base: torch.Tensor | None, sources: Sequence[torch.Tensor], parameters: MergeParameters
    ) -> WeightedSum:
        """The source times a number."""
        return WeightedSum(parameters.per_source.get("scale", (1.0,)))
