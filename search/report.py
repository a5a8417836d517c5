"""The report of a study: references and winner on test items that no selection has seen, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..core.estimate import Estimate
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
    """

    columns: tuple[str, ...]
    held_out: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def winner(self) -> Row:
        """The winner's figures."""
        return self.rows[-1]

    def clear_of_references(self, confidence: float = 0.95) -> bool:
        """Whether the winner's interval of the first column lies above every reference's interval."""
        low, _ = self.winner.figures[self.columns[0]].interval(confidence)
        return all(low > row.figures[self.columns[0]].interval(confidence)[1] for row in self.rows[:-1])


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
    return Report(tuple(columns), tuple(name for name in tasks if name not in searched), rows)
