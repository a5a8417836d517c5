"""DARE: task vectors with randomly dropped, rescaled elements (Yu et al., 2024), summed plainly or as in TIES."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from ...core.contracts import MergeParameters, OnePassMethod, ParameterSpec
from ...core.forms import TaskVectorSum, Term
from ...core.seeds import derived_seed
from .task_vectors import DENSITY, LAMBDA, WEIGHT, norm, rescaled, task_vector_sum


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

    def prepare(self, base: torch.Tensor | None, sources: Sequence[torch.Tensor]) -> Any:
        """The l1 norm of each task vector."""
        assert base is not None
        return [norm(base, source) for source in sources]

    def form(
        self, base: torch.Tensor | None, sources: Sequence[torch.Tensor], parameters: MergeParameters
    ) -> TaskVectorSum:
        """The base plus the sum of the thinned task vectors."""
        assert base is not None
        norms = self.prepare(base, sources) if parameters.prepared is None else parameters.prepared
        terms = []
        for number, (weight, density) in enumerate(
            zip(parameters.per_source["weight"], parameters.per_source["density"], strict=True)
        ):
            seed = derived_seed(parameters.seed, "dare", number)
            term = Term(weight, keep=density, seed=seed) if density > 0 else Term(weight, low=math.inf)
            rescale = parameters.shared["rescale"] and 0 < density < 1
            terms.append(rescaled(term, norms[number], base, sources[number]) if rescale else term)
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
