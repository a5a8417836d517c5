"""What TIES and Breadcrumbs share: task vectors of which only the middle magnitudes stay, and their sum."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from ...core.contracts import MergeParameters, OnePassMethod
from ...core.forms import TaskVectorSum, Term
from .magnitudes import Magnitudes, magnitudes
from .task_vectors import norm, rescaled, task_vector_sum


class TrimmingMethod(OnePassMethod):
    """base + lambda * sum_i w_i t_i, each task vector t_i cut to magnitudes of its own; with `consensus` as in TIES.

    Parameters: `weight` of each source; `normalize`; `rescale` (what stays gets the l1 norm of the whole); `lambda`;
    and those that the thresholds follow from.
    """

    consensus: ClassVar[bool]
    keeps_base = True

    @abstractmethod
    def thresholds(
        self, parameters: MergeParameters, number: int, known: Magnitudes, base: torch.Tensor, source: torch.Tensor
    ) -> tuple[float, float]:
        """The smallest and largest magnitude that stay of source `number`'s task vector; `known` is its sketch."""

    def prepare(self, base: torch.Tensor | None, sources: Sequence[torch.Tensor]) -> Any:
        """The magnitudes of each task vector."""
        assert base is not None
        return magnitudes(base, sources)

    def form(
        self, base: torch.Tensor | None, sources: Sequence[torch.Tensor], parameters: MergeParameters
    ) -> TaskVectorSum:
        """The base plus the sum of the trimmed task vectors."""
        assert base is not None
        known: Sequence[Magnitudes] = parameters.prepared or magnitudes(base, sources)
        terms = []
        for number, weight in enumerate(parameters.per_source["weight"]):
            term = Term(weight, *self.thresholds(parameters, number, known[number], base, sources[number]))
            if parameters.shared["rescale"] and not term.is_plain:
                term = rescaled(term, norm(base, sources[number]), base, sources[number])
            terms.append(term)
        return task_vector_sum(terms, parameters, self.consensus)
