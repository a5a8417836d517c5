"""DELLA: task vectors thinned at random, small elements more often than large ones (Deep et al., 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import torch

from ...core.contracts import MergeMethod, MergeParameters, ParameterSpec
from ...core.draws import draws
from ...core.forms import Term
from ...core.seeds import derived_seed
from .task_vectors import DENSITY, LAMBDA, WEIGHT, task_vector_sum

_SMALLEST_NORM = 1e-7


class _Della(MergeMethod):
    consensus: ClassVar[bool]
    keeps_base = True
    paper = "https://arxiv.org/abs/2406.11617"

    def merge(
        self, base: torch.Tensor | None, sources: Sequence[torch.Tensor], parameters: MergeParameters
    ) -> torch.Tensor:
        """The base plus the sum of the thinned task vectors; costs a sort of every row of every source."""
        assert base is not None
        own = parameters.per_source
        changes, terms = [], []
        for number, (weight, density, epsilon) in enumerate(
            zip(own["weight"], own["density"], own["epsilon"], strict=True)
        ):
            change = sources[number] - base
            kept = kept_by_rank(change, density, epsilon, derived_seed(parameters.seed, "della", number))
            term = Term(weight)
            if parameters.shared["rescale"]:
                term = replace(term, scale=_ratio(_norm(change), _norm(change * kept)))
            changes.append(change.mul_(kept))
            terms.append(term)
        # From an origin of zeros the sum takes the thinned changes as they are.
        form = task_vector_sum(terms, parameters, self.consensus)
        return form.apply(torch.zeros_like(base), changes).add_(base)


def _parameters(normalize: bool) -> tuple[ParameterSpec, ...]:
    return (
        WEIGHT,
        DENSITY,
        ParameterSpec("epsilon", "source", default=0.15, low=0.0, high=0.5),
        ParameterSpec("normalize", "shared", default=normalize),
        ParameterSpec("rescale", "shared", default=True),
        LAMBDA,
    )


class DellaLinear(_Della):
    """Elements are kept with probabilities from `density` - `epsilon` (a row's smallest) to `density` + `epsilon`.

    `weight`, `density` and `epsilon` (default 0.15; narrowed to what keeps the probabilities within 0 and 1, where
    mergekit refuses to merge) of each source; `normalize` (default false); `rescale` (default true) gives the kept
    elements the l1 norm of the whole; `lambda`.
    """

    name = "della_linear"
    consensus = False
    parameters = _parameters(normalize=False)


class Della(_Della):
    """As `della_linear`, but an element counts only where it agrees with the elected sign; `normalize` is true."""

    name = "della"
    consensus = True
    parameters = _parameters(normalize=True)


def kept_by_rank(change: torch.Tensor, density: float, epsilon: float, seed: int) -> torch.Tensor:
    """Which elements are kept: booleans of the shape of `change`.

    The probability rises in equal steps with the rank of an element's magnitude along the second dimension (the only
    one of a vector); equal magnitudes rank in their order. What is drawn depends on ranks, seed and position alone.
    """
    width = min(epsilon, density, 1 - density)
    if width < 0 or density in (0, 1):
        return torch.full_like(change, density >= 1, dtype=torch.bool)
    rows = change.view(1, -1) if change.dim() < 2 else change
    ranks = rows.abs().argsort(dim=1, stable=True).argsort(dim=1, stable=True).double()
    place = ranks / (rows.shape[1] - 1) if rows.shape[1] > 1 else torch.full_like(ranks, 0.5)
    limits = ((density - width + 2 * width * place) * 2**32).round().long().view(change.shape)
    return draws(change.numel(), seed, device=change.device).view(change.shape) < limits


def _norm(change: torch.Tensor) -> float:
    return float(change.abs().sum(dtype=torch.float64))


def _ratio(before: float, after: float) -> float:
    return 1.0 if before < _SMALLEST_NORM or after < _SMALLEST_NORM else before / after
