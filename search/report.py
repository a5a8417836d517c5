"""The report of a study: references and winner on test items that no selection has seen, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..core.contracts import Direction
from ..core.estimate import CONFIDENCE, Estimate
from ..core.study_spec import StudySpec
from ..storage import CandidateRecord
from .candidate import name_of


@dataclass(frozen=True)
class Row:
    """One model's figures on the test items, by task and objective."""

    name: str
    figures: Mapping[str, Estimate]


@dataclass(frozen=True)
class Report:
    """The test figures.

    Attributes:
        columns: the first objective, then the tasks; those that were not searched on are in `held_out` too.
        rows: base, sources, uniform average, then the winner.
        direction: of the first objective.
        shares: the columns whose figures are shares in [0, 1].
    """

    columns: tuple[str, ...]
    held_out: tuple[str, ...]
    rows: tuple[Row, ...]
    direction: Direction
    shares: frozenset[str]

    @property
    def winner(self) -> Row:
        """The winner's figures."""
        return self.rows[-1]

    @property
    def best_reference(self) -> Row:
        """The reference with the best figure in the first column; of equals, the first."""
        sign = 1 if self.direction == "maximize" else -1
        return max(self.rows[:-1], key=lambda row: sign * row.figures[self.columns[0]].mean)

    def interval(self, row: Row, confidence: float = CONFIDENCE) -> tuple[float, float]:
        """The confidence interval of a row's figure in the first column."""
        column = self.columns[0]
        return row.figures[column].interval(column in self.shares, confidence)

    def clear_of_references(self, confidence: float = CONFIDENCE) -> bool:
        """Whether the winner's interval of the first column lies on the better side of every reference's interval."""
        return all(self._apart(self.winner, row, confidence) for row in self.rows[:-1])

    def clearly_worse(self, confidence: float = CONFIDENCE) -> bool:
        """Whether the winner's interval of the first column lies on the worse side of the best reference's."""
        return self._apart(self.best_reference, self.winner, confidence)

    def _apart(self, better: Row, worse: Row, confidence: float) -> bool:
        low, high = self.interval(better, confidence)
        worse_low, worse_high = self.interval(worse, confidence)
        return low > worse_high if self.direction == "maximize" else high < worse_low


def report_of(spec: StudySpec, tested: Sequence[CandidateRecord]) -> Report | None:
    """The report of references and winner (last) that were evaluated on test items; None if they were not."""
    if not tested:
        return None
    searched = {task for objective in spec.objectives for task in objective.tasks}
    measured = [candidate.measurements.get("test", {}) for candidate in tested]
    known = set.intersection(*(set(figures) for figures in measured))
    tasks = [name for name in spec.tasks if name in known]
    columns = [label for label in (spec.objectives[0].label,) if label in known] + tasks
    if not columns:
        return None
    rows = tuple(
        Row("winner" if place == len(tested) - 1 else name_of(candidate), {name: figures[name] for name in columns})
        for place, (candidate, figures) in enumerate(zip(tested, measured, strict=True))
    )
    held_out = tuple(name for name in tasks if name not in searched)
    return Report(tuple(columns), held_out, rows, spec.objectives[0].direction, spec.shares & set(columns))
