"""What a candidate costs the database: as many statements in a large study as in a small one, each on an index."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from heterosis.core.estimate import Estimate
from heterosis.storage import NewProposal, Responses, Store, StudyRecord, ToldRecord
from heterosis.storage.database import Database
from heterosis.storage.stage_figures import StageFigures
from sqlalchemy import Connection, event

Make = Callable[..., NewProposal]
Answers = Callable[..., Responses]
TOLD = ToldRecord((0.5,), (0.0,))


@contextmanager
def _noted(database: Database) -> Iterator[list[tuple[str, object]]]:
    found: list[tuple[str, object]] = []

    def note(connection: object, cursor: object, statement: str, values: object, *rest: object) -> None:
        found.append((statement, values))

    event.listen(database.engine, "before_cursor_execute", note)
    yield found
    event.remove(database.engine, "before_cursor_execute", note)


class _Search:
    """Asks, evaluates and tells as a search does, one ask after the other; every proposal is new."""

    def __init__(self, store: Store, study: StudyRecord, proposal: Make, answers: Answers) -> None:
        self._store, self._study, self._proposal, self._answers = store, study, proposal, answers
        self._figures = StageFigures(store.database, study.id, "search", "accuracy")
        self._asks = self._made = 0
        store.studies.set_state(study.id, "running")

    def turn(self, size: int) -> None:
        parents = (0, self._made - 1) if self._made > 1 else ()
        weights = [(self._made + place) / 4096 for place in range(size)]
        proposals = [self._proposal(weight, "crossover", parents) for weight in weights]
        candidates = self._store.asks.record(self._study.id, self._asks, proposals)
        for candidate in candidates:
            self._evaluate(candidate.id, candidate.evaluations["search"].id)
        self._store.candidates.several([candidate.id for candidate in candidates])
        self._store.asks.mark_told(self._study.id, self._asks, [TOLD] * size)
        self._asks += 1
        self._made += size

    def _evaluate(self, candidate_id: str, evaluation_id: str) -> None:
        queue, results = self._store.queue, self._store.results
        record = queue.get(evaluation_id)
        attempt = queue.claim(evaluation_id, "me")
        assert attempt is not None
        assert self._store.candidates.recipes([candidate_id])
        assert results.find_responses(record.eval_key, besides=evaluation_id) is None
        measured = {"accuracy": Estimate(0.5, 0.1, 2)}
        assert results.finish(evaluation_id, attempt, [self._answers(0.0, 1.0)], measured, {"score": 0.5})
        assert self._figures.of_evaluations([evaluation_id])[0].is_over


@pytest.fixture
def search(store: Store, study: StudyRecord, proposal: Make, answers: Answers) -> _Search:
    return _Search(store, study, proposal, answers)


def test_a_turn_takes_as_many_statements_in_a_large_study_as_in_a_small_one(store: Store, search: _Search) -> None:
    search.turn(2)
    search.turn(2)  # from now on there are parents, and the item set is known
    counts = []
    for larger in (0, 30, 30):
        if larger:
            search.turn(larger)
        with _noted(store.database) as statements:
            search.turn(2)
        counts.append(len(statements))
    assert counts == [counts[0]] * 3


def test_an_ask_takes_as_many_statements_whatever_its_size(store: Store, study: StudyRecord, proposal: Make) -> None:
    counts = []
    for ask_no, size in enumerate((1, 10, 100)):
        weights = [(1000 * ask_no + place) / 4096 for place in range(size)]
        with _noted(store.database) as statements:
            store.asks.record(study.id, ask_no, [proposal(weight) for weight in weights])
            store.asks.mark_told(study.id, ask_no, [TOLD] * size)
        counts.append(len(statements))
    assert counts == [counts[0]] * 3


def test_no_statement_of_a_turn_reads_a_whole_table(store: Store, search: _Search) -> None:
    for _ in range(3):
        search.turn(20)
    with _noted(store.database) as statements:
        search.turn(2)
    with store.database.write() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")  # of a few rows, it would rather read all
        for statement, values in statements:
            if statement.startswith(("SELECT", "UPDATE")):
                assert not _reads_a_whole_table(connection, statement, values), statement
        assert _reads_a_whole_table(connection, "SELECT id FROM candidates WHERE failure = 'none has an index'", ())


def _reads_a_whole_table(connection: Connection, statement: str, values: Any) -> bool:
    one = values[0] if isinstance(values, list) else values
    explain = "EXPLAIN QUERY PLAN " if connection.dialect.name == "sqlite" else "EXPLAIN "
    lines = [str(row[-1]) for row in connection.exec_driver_sql(explain + statement, one)]
    return any(line.startswith("SCAN ") or "Seq Scan" in line for line in lines)
