"""The course of a search in steady state: which proposals are open, and the order of asks and tells."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..storage import AskRecord, CandidateRecord, Store, ToldRecord
from .recorded_optimizer import RecordedOptimizer


class Course:
    """Asks for one proposal at a time, and tells of one at a time; each is recorded with its place among the others.

    Args:
        told: what the optimizer is to be told of a candidate whose evaluation is over; None if it failed.

    Attributes:
        asked: how many asks have been made.
    """

    def __init__(
        self,
        optimizer: RecordedOptimizer,
        study_id: str,
        store: Store,
        told: Callable[[CandidateRecord], ToldRecord | None],
    ) -> None:
        self.asked = 0
        self._optimizer = optimizer
        self._study_id = study_id
        self._store = store
        self._told = told
        self._tells = 0
        self._open: dict[int, CandidateRecord] = {}

    @property
    def open(self) -> list[CandidateRecord]:
        """The candidates of asks that have not been told yet, in their order; one proposed twice is there twice."""
        return list(self._open.values())

    def replay(self, recorded: Sequence[AskRecord]) -> None:
        """Makes the recorded asks and tells once more, as they were interleaved.

        Raises:
            OptimizerError: the optimizer proposes something else than is recorded.
        """
        tells = sorted((ask for ask in recorded if ask.tell_no is not None), key=lambda ask: ask.tell_no or 0)
        for ask in recorded:
            self._retell(tells[self._tells : ask.tells_before])
            self._optimizer.replay(ask)
            self._open[ask.number] = ask.candidates[0]
            self.asked += 1
        self._retell(tells[self._tells :])

    def ask(self) -> CandidateRecord:
        """The candidate of a new proposal, which may be one that was proposed before."""
        [candidate] = self._optimizer.ask(self.asked, 1, tells_before=self._tells)
        self._open[self.asked] = candidate
        self.asked += 1
        return candidate

    def tell(self, evaluation_id: str) -> bool:
        """Tells all asks that wait for this evaluation, in their order.

        Returns:
            Whether the evaluation is over; if not (or if its result was taken back since), nobody is told.
        """
        waiting = [no for no, one in self._open.items() if one.evaluations["search"].id == evaluation_id]
        if not waiting:
            return True
        candidate = self._store.candidates.get(self._open[waiting[0]].id)
        if candidate.evaluations["search"].state in ("queued", "running"):
            return False
        told = [self._told(candidate)]
        for ask_no in waiting:
            self._optimizer.tell([self._open.pop(ask_no)], told)
            self._store.asks.mark_told(self._study_id, ask_no, told, tell_no=self._tells)
            self._tells += 1
        return True

    def _retell(self, asks: Sequence[AskRecord]) -> None:
        for ask in asks:
            self._optimizer.tell([self._open.pop(ask.number)], ask.told or [None])
            self._tells += 1
