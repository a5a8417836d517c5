"""What is true of a study's record at every moment, whatever was killed, and what is true when the study is over."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, select

from ..storage import Store
from ..storage.evaluations import MAX_ATTEMPTS
from ..storage.tables import (
    artifact_links,
    asks,
    attempts,
    candidate_parents,
    candidates,
    evaluations,
    events,
    item_responses,
    measurements,
    proposals,
)


def check_record(store: Store, study_id: str) -> None:
    """Checks what holds at every moment of a study that is searched in turns.

    Raises:
        AssertionError: it does not; the message says what is wrong.
    """
    with store.database.read() as connection:
        _check_attempts(connection, study_id)
        _check_results(connection, study_id)
        _check_asks(connection, study_id)
        _check_lineage(connection, study_id)
        _check_artifacts(connection, study_id)


def check_finished(store: Store, study_id: str) -> None:
    """Checks what holds of a study that is complete: as `check_record`, and nothing is left to do.

    Raises:
        AssertionError: it does not; the message says what is wrong.
    """
    check_record(store, study_id)
    with store.database.read() as connection:
        states = Counter(row.state for row in _evaluations(connection, study_id))
        assert not states.keys() - {"succeeded", "failed", "cancelled"}, f"evaluations are left: {states}"
        bred = (candidates.c.study_id == study_id, candidates.c.kind == "bred")
        unfinished = select(candidates.c.number, candidates.c.state).where(*bred)
        left = connection.execute(unfinished.where(candidates.c.state.not_in(("complete", "failed")))).all()
        assert not left, f"candidates are left: {left}"
        untold = connection.execute(
            select(asks.c.ask_no).where(asks.c.study_id == study_id, asks.c.told_at.is_(None))
        ).all()
        assert not untold, f"the optimizer was not told of the asks {untold}"


def outcomes(store: Store, study_id: str) -> Counter[str]:
    """How many attempts ended how."""
    with store.database.read() as connection:
        return Counter(row.outcome for row in _attempts(connection, study_id))


def _check_attempts(connection: Connection, study_id: str) -> None:
    """Each has a number, without gaps, and an end unless it is under way; only the last can have succeeded."""
    made: dict[str, list[Row[Any]]] = {}
    for row in _attempts(connection, study_id):
        made.setdefault(row.evaluation_id, []).append(row)
    for one in _evaluations(connection, study_id):
        rows = made.get(one.id, [])
        what = f"evaluation {one.id}, {one.state}: {[(row.attempt, row.outcome) for row in rows]}"
        assert [row.attempt for row in rows] == list(range(1, one.attempt + 1)), what
        ended = rows[:-1] if one.state == "running" else rows
        assert all(row.outcome is not None and row.ended_at is not None for row in ended), what
        assert one.state != "running" or (rows and rows[-1].outcome is None and one.lease_owner), what
        assert one.state == "running" or one.lease_owner is None, what
        succeeded = [row.attempt for row in rows if row.outcome == "succeeded"]
        assert succeeded == ([one.attempt] if one.state == "succeeded" else []), what
        uncounted = sum(row.outcome == "released" for row in rows)
        assert one.max_attempts == MAX_ATTEMPTS + uncounted or "distrusted" in {row.outcome for row in rows}, what
        assert one.attempt <= one.max_attempts, what


def _check_results(connection: Connection, study_id: str) -> None:
    """What has succeeded has results, and nothing else has; each success was noted once."""
    succeeded = {row.id for row in _evaluations(connection, study_id) if row.state == "succeeded"}
    answered = set(connection.scalars(_of_study(select(item_responses.c.evaluation_id), item_responses, study_id)))
    assert answered == succeeded, f"answers without success, or the reverse: {sorted(answered ^ succeeded)}"
    ended = Counter(row.outcome for row in _attempts(connection, study_id))
    noted = (events.c.study_id == study_id, events.c.type == "evaluation.succeeded")
    count = len(connection.execute(select(events.c.id).where(*noted)).all())
    assert count == ended["succeeded"] + ended["distrusted"], f"{count} events of success, attempts: {ended}"
    complete = (candidates.c.study_id == study_id, candidates.c.state == "complete", candidates.c.kind == "bred")
    known = set(connection.scalars(select(candidates.c.id).where(*complete)))
    measured = set(connection.scalars(select(measurements.c.candidate_id).where(measurements.c.stage == "search")))
    assert known <= measured, f"complete, but not measured: {sorted(known - measured)}"


def _check_asks(connection: Connection, study_id: str) -> None:
    """Asks and candidates are numbered without gaps; the optimizer was told in the order in which it was asked."""
    made = connection.execute(select(asks).where(asks.c.study_id == study_id).order_by(asks.c.ask_no)).all()
    assert [row.ask_no for row in made] == list(range(len(made))), f"asks have gaps: {[row.ask_no for row in made]}"
    told = [row.ask_no for row in made if row.told_at is not None]
    assert told == list(range(len(told))), f"told out of turn: {told}"
    noted = (events.c.study_id == study_id, events.c.type == "ask.told")
    order = [
        int(found) for found in connection.scalars(select(events.c.subject_id).where(*noted).order_by(events.c.id))
    ]
    assert order == told, f"told in the order {order}"
    numbers = select(candidates.c.number).where(candidates.c.study_id == study_id, candidates.c.kind == "bred")
    bred = sorted(number for number in connection.scalars(numbers) if number is not None)
    assert bred == list(range(len(bred))), f"candidates have gaps: {bred}"
    query = select(proposals, candidates.c.state).join(candidates, candidates.c.id == proposals.c.candidate_id)
    for row in connection.execute(query.where(proposals.c.study_id == study_id, proposals.c.ask_no.in_(told))):
        failed = (row.told_json or {}).get("failed", False)
        assert row.state == ("failed" if failed else "complete"), f"told {row.told_json} of a candidate {row.state}"


def _check_lineage(connection: Connection, study_id: str) -> None:
    """Every parent is there, and was there before its child: so the lineage has no cycle."""
    known = {
        row.id: row.number for row in connection.execute(select(candidates).where(candidates.c.study_id == study_id))
    }
    for row in connection.execute(select(candidate_parents)):
        if row.child_id in known:
            parent, child = known.get(row.parent_candidate_id), known[row.child_id]
            assert parent is not None, f"candidate {child} has a parent elsewhere"
            assert child is not None, "a reference has a parent"
            assert parent < child, f"candidate {child} has the parent {parent}"


def _check_artifacts(connection: Connection, study_id: str) -> None:
    """What is noted is there, with the bytes that it had."""
    query = select(artifact_links).join(candidates, candidates.c.id == artifact_links.c.owner_id)
    for row in connection.execute(query.where(candidates.c.study_id == study_id)):
        path = Path(row.path)
        assert path.exists(), f"the artifact {path} is gone"
        if path.is_file():
            assert hashlib.sha256(path.read_bytes()).hexdigest() == row.sha256, f"{path} has other bytes than recorded"


def _evaluations(connection: Connection, study_id: str) -> list[Row[Any]]:
    query = select(evaluations).join(candidates, candidates.c.id == evaluations.c.candidate_id)
    return list(connection.execute(query.where(candidates.c.study_id == study_id).order_by(evaluations.c.id)))


def _attempts(connection: Connection, study_id: str) -> list[Row[Any]]:
    query = _of_study(select(attempts), attempts, study_id)
    return list(connection.execute(query.order_by(attempts.c.evaluation_id, attempts.c.attempt)))


def _of_study(query: Any, table: Any, study_id: str) -> Any:
    joined: ColumnElement[bool] = evaluations.c.id == table.c.evaluation_id
    query = query.join(evaluations, joined).join(candidates, candidates.c.id == evaluations.c.candidate_id)
    return query.where(candidates.c.study_id == study_id)
