"""How the candidates of an ask get their scores on the search items."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from ..core.recipe import Recipe
from ..storage import CandidateRecord, ToldRecord
from .progress import Evaluated


class Scoring(ABC):
    """Called in the order of a study's asks, from the first on, also when a study is resumed.

    Deterministic: with the same recorded responses, it asks the same items and gives the same values.
    """

    @abstractmethod
    def key(self, recipe: Recipe) -> str | None:
        """The key of the evaluation that is to be queued with a new proposal; None if none is yet."""

    def begin(self, evaluated: Evaluated) -> None:  # noqa: B027  (most need nothing)
        """What is to be known before the first ask."""

    @abstractmethod
    def score(
        self, ask_no: int, candidates: Sequence[CandidateRecord], evaluated: Evaluated
    ) -> list[ToldRecord | None]:
        """What the optimizer is to be told of each candidate, in order; None if it failed.

        Args:
            candidates: of the ask, one for each proposal (a genome may have been proposed before).
            evaluated: called after each evaluation, with its id.
        """

    def finish(self, evaluated: Evaluated) -> None:  # noqa: B027  (most need nothing)
        """Called when the last ask of a search is settled, before finalists are chosen."""

    def settle(  # noqa: B027  (most need nothing)
        self,
        ask_no: int,
        candidates: Sequence[CandidateRecord],
        told: Sequence[ToldRecord | None],
        evaluated: Evaluated,
    ) -> None:
        """Called after the optimizer was told of an ask; on resuming, of each ask before the one that goes on."""


def proposed_first(ask_no: int, candidates: Sequence[CandidateRecord]) -> list[CandidateRecord]:
    """Those that this ask proposed first, each once."""
    return list({candidate.id: candidate for candidate in candidates if candidate.ask_no == ask_no}.values())
