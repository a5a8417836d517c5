"""TIES: trim, elect sign and merge (Yadav et al., 2023)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ...core.contracts import MergeMethod, MergeParameters, ParameterSpec
from .arithmetic import DENSITY, LAMBDA, WEIGHT, consensus_sum
from .selection import largest


class Ties(MergeMethod):
    """Task vectors are trimmed to their largest elements, then summed where they agree with the elected sign.

    `weight` and `density` (share of elements kept, default 1) of each source; `normalize` (default true); `lambda`.
    """

    name = "ties"
    parameters = (WEIGHT, DENSITY, ParameterSpec("normalize", "shared", default=True), LAMBDA)
    keeps_base = True
    paper = "https://arxiv.org/abs/2306.01708"

    def merge(
        self, base: torch.Tensor | None, sources: Sequence[torch.Tensor], parameters: MergeParameters
    ) -> torch.Tensor:
        """The base plus the merged, trimmed task vectors."""
        assert base is not None
        densities = parameters.per_source["density"]
        changes = [trim(source - base, density) for source, density in zip(sources, densities, strict=True)]
        return consensus_sum(base, changes, parameters)


def trim(change: torch.Tensor, density: float) -> torch.Tensor:
    """Zeroes all but the largest magnitudes: max(1, floor(density * n)) of n elements are kept, none at density 0.

    Among elements whose magnitude equals the smallest one kept, those first in memory are kept.
    """
    elements = change.numel()
    if density >= 1:
        return change
    if density <= 0 or elements == 0:
        return torch.zeros_like(change)
    kept = largest(change.abs().reshape(-1), max(1, int(density * elements)))
    return change * kept.view_as(change).to(change.dtype)
