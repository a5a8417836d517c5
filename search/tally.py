"""What of a stage is over, and the best so far, kept up to date from what has changed and never read anew."""

from __future__ import annotations

from collections.abc import Iterable

from ..core.estimate import Estimate
from ..core.study_spec import ObjectiveSpec
from ..storage.stage_figures import StageFigure
from .ranking import badness


class Tally:
    """Counts a stage's candidates.

    Args:
        objective: what `best` is the best of; of equals, it is the one proposed first.
        cautious: as for `ranked`.

    Attributes:
        over: ids of the candidates of which all is known that will be.
        failed: ids of those that failed.
        asked: how many items were asked in all, where those are chosen for each candidate.
        last: what was over last, or None.
    """

    def __init__(self, objective: ObjectiveSpec, cautious: bool) -> None:
        self.over: set[str] = set()
        self.failed: set[str] = set()
        self.asked = 0
        self.last: StageFigure | None = None
        self._objective = objective
        self._cautious = cautious
        self._counted: set[str] = set()
        self._ranks: dict[str, tuple[float, int, StageFigure]] = {}
        self._best: str | None = None

    def update(self, figures: Iterable[StageFigure]) -> None:
        """Takes in how candidates stand now; seeing the same again changes nothing."""
        for figure in figures:
            if figure.items and figure.evaluation_id not in self._counted:
                self._counted.add(figure.evaluation_id)
                self.asked += figure.items
            if figure.is_over:
                self.over.add(figure.candidate_id)
                self._take(figure)

    @property
    def best(self) -> tuple[StageFigure, Estimate] | None:
        """The best bred candidate so far and its value, or None."""
        if self._best is None:
            return None
        figure = self._ranks[self._best][2]
        assert figure.value is not None
        return figure, figure.value

    def _take(self, figure: StageFigure) -> None:
        if figure.finished_at and (
            self.last is None or self.last.finished_at is None or figure.finished_at >= self.last.finished_at
        ):
            self.last = figure
        if figure.value is None:
            if figure.failed:
                self.failed.add(figure.candidate_id)
            return
        self.failed.discard(figure.candidate_id)
        if figure.number is not None:
            self._rank(
                figure.candidate_id, (badness(figure.value, self._objective, self._cautious), figure.number, figure)
            )

    def _rank(self, candidate_id: str, rank: tuple[float, int, StageFigure]) -> None:
        before = self._ranks.get(candidate_id)
        self._ranks[candidate_id] = rank
        if self._best is None or rank[:2] < self._ranks[self._best][:2]:
            self._best = candidate_id
        elif candidate_id == self._best and before is not None and rank[:2] > before[:2]:
            self._best = min(self._ranks, key=lambda id_: self._ranks[id_][:2])
