"""Reads candidates with all that is known of them, in a fixed number of queries."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, select

from ..core.estimate import Estimate
from ..core.genome import Genome
from . import tables
from .evaluations import evaluation_record
from .records import CandidateRecord, EvaluationRecord, Stage


class Loader:
    """Reads the candidates that meet some conditions; made once where it is used often.

    Args:
        conditions: on columns of `candidates`; they may have parameters (`bindparam`).
    """

    def __init__(self, *conditions: ColumnElement[bool]) -> None:
        table, links, told = tables.candidates, tables.candidate_parents, tables.proposals
        chosen = select(table.c.id).where(*conditions)
        self._candidates = (
            select(table).where(*conditions).order_by(table.c.number.is_not(None), table.c.number, table.c.id)
        )
        of_these = tables.evaluations.c.candidate_id.in_(chosen)
        self._evaluations = (
            select(tables.evaluations).where(of_these).order_by(tables.evaluations.c.part, tables.evaluations.c.id)
        )
        self._measurements = select(tables.measurements).where(tables.measurements.c.candidate_id.in_(chosen))
        self._parents = (
            select(links.c.child_id, table.c.number)
            .join(table, table.c.id == links.c.parent_candidate_id)
            .where(links.c.child_id.in_(chosen))
            .order_by(links.c.child_id, links.c.ordinal)
        )
        # Latest first, so that the first proposal has the last word.
        self._operators = (
            select(told.c.candidate_id, told.c.operator)
            .where(told.c.candidate_id.in_(chosen))
            .order_by(told.c.ask_no.desc(), told.c.position.desc())
        )

    def load(self, connection: Connection, **values: Any) -> list[CandidateRecord]:
        """Those that meet the conditions with these values of their parameters: references first, then by number."""
        rows = connection.execute(self._candidates, values).all()
        if not rows:
            return []
        evaluations: dict[str, dict[Stage, EvaluationRecord]] = defaultdict(dict)
        for row in connection.execute(self._evaluations, values):
            evaluations[row.candidate_id][row.stage] = evaluation_record(row)
        measurements: dict[str, dict[Stage, dict[str, Estimate]]] = defaultdict(dict)
        for row in connection.execute(self._measurements, values):
            error = math.nan if row.standard_error is None else row.standard_error
            of_stage = measurements[row.candidate_id].setdefault(row.stage, {})
            of_stage[row.objective] = Estimate(row.value, error, row.items)
        parents: dict[str, list[int]] = defaultdict(list)
        for child, number in connection.execute(self._parents, values):
            parents[child].append(number)
        operators: dict[str, str] = dict(connection.execute(self._operators, values).all())
        return [
            _record(row, evaluations[row.id], measurements[row.id], parents[row.id], operators.get(row.id))
            for row in rows
        ]


def _record(
    row: Row[Any],
    evaluations: Mapping[Stage, EvaluationRecord],
    measurements: Mapping[Stage, Mapping[str, Estimate]],
    parents: Sequence[int],
    operator: str | None,
) -> CandidateRecord:
    return CandidateRecord(
        id=row.id,
        study_id=row.study_id,
        kind=row.kind,
        number=row.number,
        label=row.label,
        ask_no=row.ask_no,
        genome=None if row.genome_json is None else Genome.from_json(row.genome_json),
        recipe=row.recipe_json,
        fingerprint=row.fingerprint,
        operator=operator,
        parents=tuple(parents),
        state=row.state,
        failure=row.failure,
        created_at=row.created_at,
        evaluations=evaluations,
        measurements=measurements,
    )
