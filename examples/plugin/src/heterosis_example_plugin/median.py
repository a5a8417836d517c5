"""Median: the base plus the element-wise median of the task vectors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from heterosis.core.contracts import MergeMethod, MergeParameters, ParameterSpec


class Median(MergeMethod):
    """base + scale * median_i (x_i - base), element by element.

    A source that went astray alone, however far, moves no element beyond its neighbours. Of an even number of sources
    the mean of the two in the middle counts.

    `scale` of the whole (default 1, searched over [0, 1.5]).
    """

    name = "median"
    parameters = (ParameterSpec("scale", "shared", default=1.0, search=(0.0, 1.5)),)
    source_count = (2, None)

    def merge(
        self, base: torch.Tensor | None, sources: Sequence[torch.Tensor], parameters: MergeParameters
    ) -> torch.Tensor:
        """Sorted and averaged in float32 (float64 for float64)."""
        assert base is not None
        work = torch.float64 if base.dtype == torch.float64 else torch.float32
        start = base.to(work)
        ordered = torch.stack([source.to(work) - start for source in sources]).sort(dim=0).values
        middle = ordered[(len(sources) - 1) // 2 : len(sources) // 2 + 1].mean(dim=0)
        return (start + parameters.shared["scale"] * middle).to(base.dtype)
