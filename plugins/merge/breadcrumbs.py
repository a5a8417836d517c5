"""Model breadcrumbs: task vectors without their largest and their smallest elements (Davari & Belilovsky, 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from ...core.contracts import MergeParameters, OnePassMethod, ParameterSpec
from ...core.forms import TaskVectorSum, Term
from ...core.kernels import magnitude_sum
from .dare import rescaled
from .magnitudes import Magnitudes, magnitudes
from .task_vectors import DENSITY, LAMBDA, WEIGHT, task_vector_sum


class _Breadcrumbs(OnePassMethod):
    consensus: ClassVar[bool]
    parameters = (
        WEIGHT,
        DENSITY,
        ParameterSpec("gamma", "source", default=0.01, low=0.0, high=1.0),
        ParameterSpec("normalize", "shared", default=False),
        ParameterSpec("rescale", "shared", default=False),
        LAMBDA,
    )
    keeps_base = True
    paper = "https://arxiv.org/abs/2312.06795"

    def prepare(self, base: torch.Tensor | None, sources: Sequence[torch.Tensor]) -> Any:
        """The magnitudes of each task vector."""
        assert base is not None
        return magnitudes(base, sources)

    def form(
        self, base: torch.Tensor | None, sources: Sequence[torch.Tensor], parameters: MergeParameters
    ) -> TaskVectorSum:
        """The base plus the sum of the task vectors between their thresholds."""
        assert base is not None
        known: Sequence[Magnitudes] = parameters.prepared or magnitudes(base, sources)
        own = parameters.per_source
        terms = []
        for number, (weight, density, gamma) in enumerate(
            zip(own["weight"], own["density"], own["gamma"], strict=True)
        ):
            term = Term(weight, *kept_between(density, gamma, known[number], base, sources[number]))
            if parameters.shared["rescale"] and not term.is_plain:
                norm = magnitude_sum(base, sources[number], Term(1.0))
                term = rescaled(term, norm, base, sources[number])
            terms.append(term)
        return task_vector_sum(terms, parameters, self.consensus)


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
