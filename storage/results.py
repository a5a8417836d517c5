"""Results: responses and measurements, written once, with the state they bring about."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, Connection, bindparam, delete, select, update

from ..core.errors import StorageError
from ..core.estimate import Estimate
from .artifacts import note_measured
from .database import Database
from .events import append
from .inserts import insert_all, insert_missing
from .records import Ending, ItemSet, Responses, Stage
from .tables import candidates, evaluations, item_responses, item_sets, measurements
from .transitions import end_attempts, fail_evaluation, holds, move_candidate

BLOCK_ITEMS = 4096
_MOST_KNOWN = 10_000
_FLOAT64 = np.dtype("<f8")
# Built once: building a statement takes as long as executing it.
_FINISH = (
    update(evaluations)
    .where(holds(bindparam("evaluation"), bindparam("of_attempt")))
    .values(
        state="succeeded",
        finished_at=bindparam("now"),
        seconds_json=bindparam("seconds_json"),
        lease_owner=None,
        lease_expires_at=None,
        progress=None,
        environment_id=bindparam("environment_id"),
    )
    .returning(evaluations.c.candidate_id, evaluations.c.stage, evaluations.c.items_json)
)
_OLDEST = (
    select(evaluations.c.id)
    .where(evaluations.c.eval_key == bindparam("key"), evaluations.c.state == "succeeded")
    .where(evaluations.c.id != bindparam("besides"))
    .order_by(evaluations.c.id)
    .limit(1)
)
_DONE = (
    select(evaluations.c.eval_key)
    .where(evaluations.c.eval_key.in_(bindparam("keys", expanding=True)), evaluations.c.state == "succeeded")
    .distinct()
)


class Results:
    """Ends evaluations, and reads what was answered."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known_sets: set[str] = set()

    def finish(
        self,
        evaluation_id: str,
        attempt: int,
        responses: Sequence[Responses],
        measured: Mapping[str, Estimate],
        seconds: Mapping[str, float],
        environment_id: str | None = None,
        peak_bytes: int | None = None,
        engine: Mapping[str, Any] | None = None,
    ) -> bool:
        """Records a success: everything in one transaction, and only if this attempt still holds the evaluation.

        Args:
            responses: one for each task.
            measured: the value of each objective; a standard error of NaN means unknown. Empty where it is
                a part: `measure` follows when the candidate was asked enough.
            seconds: wall-clock seconds by phase.
            environment_id: what computed it (`Store.environments`).
            peak_bytes: the most device memory that it took.
            engine: what was measured of it in its engine, JSON-ready: `format`, and the figures by name.

        Returns:
            False if another attempt has taken over or the evaluation is over; then nothing is written.

        Raises:
            StorageError: a number is NaN or infinite, or the database refuses; nothing is written.
        """
        _check(measured, seconds)
        sets = {response.item_set.id: response.item_set for response in responses}
        new_sets = {id_: sets[id_] for id_ in sets.keys() - self._known_sets}
        with self._database.write() as connection:
            now = self._database.now(connection)
            row = connection.execute(
                _FINISH,
                {
                    "evaluation": evaluation_id,
                    "of_attempt": attempt,
                    "now": now,
                    "seconds_json": dict(seconds),
                    "environment_id": environment_id,
                },
            ).one_or_none()
            if row is None:
                return False
            _write_responses(connection, evaluation_id, responses, new_sets)
            _write_measurements(connection, row.candidate_id, row.stage, measured)
            end_attempts(connection, now, evaluation_id, attempt, Ending("succeeded", peak_bytes=peak_bytes))
            if row.items_json is None:
                move_candidate(connection, row.candidate_id, "complete")
            payload = {"attempt": attempt, "stage": row.stage}
            append(
                connection, now, "evaluation.succeeded", evaluation_id, candidate_id=row.candidate_id, payload=payload
            )
            if engine is not None:
                note_measured(connection, now, row.candidate_id, engine)
        self._remember(new_sets.keys())
        return True

    def _remember(self, set_ids: Collection[str]) -> None:
        """Item sets that are committed are never removed, so nobody has to look for them again."""
        if len(self._known_sets) + len(set_ids) > _MOST_KNOWN:
            self._known_sets.clear()
        self._known_sets.update(set_ids)

    def measure(self, candidate_id: str, stage: Stage, measured: Mapping[str, Estimate]) -> None:
        """Records what is now known of a candidate at a stage, in place of what was.

        Raises:
            StorageError: a number is NaN or infinite, or the database refuses; nothing is written.
        """
        _check(measured, {})
        with self._database.write() as connection:
            now = self._database.now(connection)
            old = (measurements.c.candidate_id == candidate_id, measurements.c.stage == stage)
            connection.execute(delete(measurements).where(*old))
            _write_measurements(connection, candidate_id, stage, measured)
            move_candidate(connection, candidate_id, "complete")
            append(
                connection, now, "candidate.measured", candidate_id, candidate_id=candidate_id, payload={"stage": stage}
            )

    def fail(self, evaluation_id: str, attempt: int, kind: str, reason: str, log_tail: str | None = None) -> bool:
        """Records a failure for good, with its reason (cut to 8 KiB); False if fenced, and nothing is written.

        Args:
            kind: in a word, what went wrong: `nan`, `memory`, `plugin`...
            log_tail: the last that was written while it was evaluated.
        """
        with self._database.write() as connection:
            now = self._database.now(connection)
            return fail_evaluation(
                connection, now, evaluation_id, attempt, kind, reason, Ending("failed", log_tail=log_tail)
            )

    def responses(self, candidate_id: str, stage: Stage, below: int | None = None) -> dict[str, Responses]:
        """What a candidate answered at a stage, by task; empty if it has not succeeded.

        Where it was asked step by step, the item set is what it was asked in all.

        Args:
            below: only what it was asked in parts below this one; default: in any.
        """
        conditions = [evaluations.c.candidate_id == candidate_id, evaluations.c.stage == stage]
        if below is not None:
            conditions.append(evaluations.c.part < below)
        with self._database.read() as connection:
            found = _read(connection, *conditions)
        return found.get(candidate_id, {})

    def responses_of_study(self, study_id: str, stage: Stage) -> dict[str, dict[str, Responses]]:
        """What all candidates of a study answered at a stage, by candidate id and task."""
        with self._database.read() as connection:
            return _read(connection, candidates.c.study_id == study_id, evaluations.c.stage == stage)

    def keys_done(self, eval_keys: Sequence[str]) -> set[str]:
        """Those of the keys of which there is a result, in any study of this database."""
        return {row.eval_key for row in self._database.rows(_DONE, {"keys": list(eval_keys)})}

    def find_responses(self, eval_key: str, besides: str | None = None) -> dict[str, Responses] | None:
        """What equal work gave, in any study of this database, or None if it was never done.

        Args:
            besides: the id of an evaluation that does not count (the one about to run).
        """
        oldest = self._database.rows(_OLDEST, {"key": eval_key, "besides": besides or ""})
        if not oldest:
            return None
        with self._database.read() as connection:
            found = _read(connection, evaluations.c.id == oldest[0].id)
        return next(iter(found.values()), {})


def _check(measured: Mapping[str, Estimate], seconds: Mapping[str, float]) -> None:
    for objective, estimate in measured.items():
        if not math.isfinite(estimate.mean) or math.isinf(estimate.standard_error):
            raise StorageError(
                f"objective {objective!r} measured {estimate.mean} ± {estimate.standard_error}; "
                "only finite values are recorded: fail the evaluation instead"
            )
    for phase, duration in seconds.items():
        if not math.isfinite(duration):
            raise StorageError(f"phase {phase!r} took {duration} seconds; only finite values are recorded")


def _write_responses(
    connection: Connection, evaluation_id: str, responses: Sequence[Responses], sets: Mapping[str, ItemSet]
) -> None:
    """Args: sets: the item sets that are perhaps not there yet, by id."""
    missing = [
        {"id": id_, "item_ids_json": sets[id_].item_ids, "n_items": len(sets[id_].item_ids)} for id_ in sorted(sets)
    ]
    insert_missing(connection, item_sets, missing)
    rows = [{"evaluation_id": evaluation_id, **block} for response in responses for block in _blocks(response)]
    insert_all(connection, item_responses, rows)


def _blocks(responses: Responses) -> Iterator[dict[str, Any]]:
    for first in range(0, len(responses.scores), BLOCK_ITEMS):
        scores = np.asarray(responses.scores[first : first + BLOCK_ITEMS], dtype=_FLOAT64)
        yield {
            "task": responses.task,
            "item_set_id": responses.item_set.id,
            "first_item": first,
            "n": scores.size,
            "scores": scores.tobytes(),
        }


def _write_measurements(
    connection: Connection, candidate_id: str, stage: Stage, measured: Mapping[str, Estimate]
) -> None:
    rows = [
        {
            "candidate_id": candidate_id,
            "stage": stage,
            "objective": objective,
            "value": estimate.mean,
            "standard_error": None if math.isnan(estimate.standard_error) else estimate.standard_error,
            "items": estimate.items,
        }
        for objective, estimate in measured.items()
    ]
    insert_all(connection, measurements, rows)


def _read(connection: Connection, *conditions: ColumnElement[bool]) -> dict[str, dict[str, Responses]]:
    source = item_responses.join(evaluations, evaluations.c.id == item_responses.c.evaluation_id).join(
        candidates, candidates.c.id == evaluations.c.candidate_id
    )
    blocks = connection.execute(
        select(evaluations.c.candidate_id, item_responses)
        .select_from(source)
        .where(*conditions)
        .order_by(evaluations.c.candidate_id, evaluations.c.part, item_responses.c.task, item_responses.c.first_item)
    ).all()
    used = select(item_responses.c.item_set_id).select_from(source).where(*conditions)
    sets = {
        row.id: ItemSet(row.id, tuple(row.item_ids_json))
        for row in connection.execute(select(item_sets).where(item_sets.c.id.in_(used)))
    }
    scores: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for row in blocks:
        scores[row.candidate_id, row.task, row.item_set_id] += np.frombuffer(row.scores, dtype=_FLOAT64).tolist()
    found: dict[str, dict[str, Responses]] = defaultdict(dict)
    for (candidate_id, task, set_id), values in scores.items():
        part = Responses(task, sets[set_id], tuple(values))
        earlier = found[candidate_id].get(task)
        found[candidate_id][task] = part if earlier is None else earlier.joined(part)
    return dict(found)
