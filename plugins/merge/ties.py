"""TIES: trim, elect sign and merge (Yadav et al., 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ...core.contracts import MergeParameters, OnePassMethod, ParameterSpec
from ...core.forms import TaskVectorSum, Term
from ...core.kernels import magnitude_sum
from .dare import rescaled
from .magnitudes import Magnitudes, kept_largest, magnitudes
from .task_vectors import DENSITY, LAMBDA, WEIGHT, task_vector_sum


class Ties(OnePassMethod):
    """Task vectors are trimmed to their largest elements, then summed where they agree with the elected sign.

    `weight` and `density` (share of elements kept, default 1) of each source; `normalize` (default true); `rescale`
    (default false) gives the kept elements the l1 norm of the whole; `lambda`.
    """

    name = "ties"
    parameters = (
        WEIGHT,
        DENSITY,
        ParameterSpec("normalize", "shared", default=True),
        ParameterSpec("rescale", "shared", default=False),
        LAMBDA,
    )
    keeps_base = True
    paper = "https://arxiv.org/abs/2306.01708"

    def prepare(self, base: torch.Tensor | None, sources: Sequence[torch.Tensor]) -> Any:
        """The magnitudes of each task vector."""
        assert base is not None
        return magnitudes(base, sources)

    def form(
        self, base: torch.Tensor | None, sources: Sequence[torch.Tensor], parameters: MergeParameters
    ) -> TaskVectorSum:
        """The base plus the merged, trimmed task vectors."""
        assert base is not None
        known: Sequence[Magnitudes] = parameters.prepared or magnitudes(base, sources)
        densities = parameters.per_source["density"]
        terms = []
        for number, (weight, density) in enumerate(zip(parameters.per_source["weight"], densities, strict=True)):
            source = sources[number]
            term = Term(weight, low=kept_largest(density, known[number], base, source))
            if parameters.shared["rescale"] and not term.is_plain:
                term = rescaled(term, magnitude_sum(base, source, Term(1.0)), base, source)
            terms.append(term)
        return task_vector_sum(terms, parameters, consensus=True)
