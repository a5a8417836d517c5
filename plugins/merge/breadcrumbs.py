"""Model breadcrumbs: task vectors without their largest and their smallest elements (Davari & Belilovsky, 2024)."""

from __future__ import annotations

import torch

from ...core.contracts import MergeParameters, ParameterSpec
from .magnitudes import Magnitudes
from .task_vectors import DENSITY, LAMBDA, WEIGHT
from .trimming import TrimmingMethod


class _Breadcrumbs(TrimmingMethod):
    parameters = (
        WEIGHT,
        DENSITY,
        ParameterSpec("gamma", "source", default=0.01, low=0.0, high=1.0),
        ParameterSpec("normalize", "shared", default=False),
        ParameterSpec("rescale", "shared", default=False),
        LAMBDA,
    )
    paper = "https://arxiv.org/abs/2312.06795"

    def thresholds(
        self, parameters: MergeParameters, number: int, known: Magnitudes, base: torch.Tensor, source: torch.Tensor
    ) -> tuple[float, float]:
        """Those of the share `density` below the share `gamma`."""
        own = parameters.per_source
        return kept_between(own["density"][number], own["gamma"][number], known, base, source)


class Breadcrumbs(_Breadcrumbs):
    """Of each task vector the largest share `gamma` is dropped, then the smallest, until the share `density` is left.

    `weight`, `density` (default 1: everything is kept, outliers too) and `gamma` (default 0.01) of each source;
    `normalize` and `rescale` (defaults false; the latter restores the l1 norm); `lambda`.
    """

    name = "breadcrumbs"
    consensus = False


class BreadcrumbsTies(_Breadcrumbs):
    """As `breadcrumbs`, but an element counts only where it agrees with the elected sign, as in TIES."""

    name = "breadcrumbs_ties"
    consensus = True


def kept_between(
    density: float, gamma: float, known: Magnitudes, base: torch.Tensor, source: torch.Tensor
) -> tuple[float, float]:
    """The smallest and largest magnitudes kept if floor(density * n) of n elements are.

    Above them lie floor(gamma * n) elements, or fewer if `density` asks for what they would leave out. Elements of
    exactly a threshold's magnitude are all kept, even if that makes them a few more than asked for: which ones to drop
    would be a matter of their order in memory.
    """
    if density >= 1 or not known.count:
        return 0.0, float("inf")
    kept = int(density * known.count)
    if kept <= 0:
        return float("inf"), float("inf")
    above = min(int(gamma * known.count), known.count - kept)
    high = known.kth_largest(above + 1, base, source) if above else float("inf")
    return known.kth_largest(above + kept, base, source), high
