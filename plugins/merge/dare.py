"""DARE: task vectors with randomly dropped, rescaled elements (Yu et al., 2024), summed plainly or as in TIES."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import torch

from ...core.contracts import MergeParameters, OnePassMethod, ParameterSpec
from ...core.forms import TaskVectorSum, Term, thinned
from ...core.seeds import derived_seed
from .task_vectors import DENSITY, LAMBDA, WEIGHT, task_vector_sum

_SMALLEST_NORM = 1e-7


class _Dare(OnePassMethod):
    consensus: ClassVar[bool]
    parameters = (
        WEIGHT,
        DENSITY,
        ParameterSpec("normalize", "shared", default=False),
        ParameterSpec("rescale", "shared", default=True),
        LAMBDA,
    )
    keeps_base = True
    paper = "https://arxiv.org/abs/2311.03099"

    def form(
        self, base: torch.Tensor | None, sources: Sequence[torch.Tensor], parameters: MergeParameters
    ) -> TaskVectorSum:
        """The base plus the sum of the thinned task vectors."""
        assert base is not None
        terms = []
        for number, (weight, density) in enumerate(
            zip(parameters.per_source["weight"], parameters.per_source["density"], strict=True)
        ):
            term = Term(weight, keep=density, seed=derived_seed(parameters.seed, "dare", number))
            if parameters.shared["rescale"] and density < 1:
                term = rescaled(term, base, sources[number])
            terms.append(term)
        return task_vector_sum(terms, parameters, self.consensus)


class DareLinear(_Dare):
    """Each element of a task vector is kept with probability `density`; what is kept is rescaled and summed.

    `weight` and `density` of each source; `normalize` (default false); `rescale` (default true) gives the kept
    elements the l1 norm of the whole; `lambda`.
    """

    name = "dare_linear"
    consensus = False


class DareTies(_Dare):
    """As `dare_linear`, but an element counts only where it agrees with the elected sign, as in TIES."""

    name = "dare_ties"
    consensus = True


def rescaled(term: Term, base: torch.Tensor, source: torch.Tensor) -> Term:
    """The term with the scale that gives what it keeps the l1 norm of the whole task vector."""
    before = _norm(base, source, Term(1.0))
    after = _norm(base, source, term)
    if before < _SMALLEST_NORM or after < _SMALLEST_NORM:
        return term
    return replace(term, scale=before / after)


def _norm(base: torch.Tensor, source: torch.Tensor, term: Term) -> float:
    return float(thinned(source.float(), base.float(), term).abs().sum(dtype=torch.float64))
