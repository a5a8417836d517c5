"""Elites: which candidates are asked every item, so that estimates have something to be learned from and checked by."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.contracts import Direction
from ..storage import CandidateRecord, ToldRecord


class Elites:
    """Picks the best candidate that has not answered every item yet, as often as a share of the items allows.

    Args:
        share: of all items that candidates are asked, at most so much goes to whole answers.
        size: how many more items a whole answer costs, at most.
        direction: of the first objective, which says who is best.
    """

    def __init__(self, share: float, size: int, direction: Direction) -> None:
        self._share = share
        self._size = size
        self._sign = 1.0 if direction == "maximize" else -1.0
        self._raced = 0
        self._whole = 0
        self._waiting: dict[str, tuple[float, CandidateRecord]] = {}

    def raced(self, items: int, candidates: Sequence[CandidateRecord], told: Sequence[ToldRecord | None]) -> None:
        """Candidates that were asked `items` in all, and what came of it."""
        self._raced += items
        for candidate, known in zip(candidates, told, strict=True):
            if known is not None:
                # of two that look equal, the one that was asked more is the better bet
                self._waiting[candidate.id] = self._sign * known.values[0] - known.errors[0], candidate

    def best(self, count: int) -> list[CandidateRecord]:
        """The best of those that have not answered every item, best first."""
        ordered = sorted(self._waiting.values(), key=lambda entry: -entry[0])
        return [candidate for _, candidate in ordered[:count]]

    def next(self, at_once: bool = False) -> CandidateRecord | None:
        """Who is to answer every item now, or None; nobody is named twice.

        Args:
            at_once: whatever the share allows.
        """
        whole = self._whole + self._size
        if not self._waiting or (whole > self._share * (self._raced + whole) and not at_once):
            return None
        self._whole = whole
        _, elite = max(self._waiting.values(), key=lambda entry: entry[0])
        del self._waiting[elite.id]
        return elite
