"""What is seen of a fleet: depths, what runs, failures, throughput, time left, workers; each on an index."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from heterosis.storage import EvaluationRecord, NewProposal, Responses, Store, StudyRecord, this_process
from heterosis.storage.records import Ending
from heterosis.storage.tables import attempts, evaluations, workers
from sqlalchemy import event, insert, select, text, update

LARGE = ("evaluations", "candidates", "attempts", "events")
PARTIAL = ("waiting", "leased", "failed")
ELSEWHERE = "gpu-box:0123456789ab:4711:99"


@pytest.fixture
def queued(store: Store, study: StudyRecord, proposal: Callable[..., NewProposal]) -> list[EvaluationRecord]:
    """Six candidates wait, of a study that runs."""
    store.studies.set_state(study.id, "running")
    proposals = [proposal(number / 10) for number in range(6)]
    return [candidate.evaluations["search"] for candidate in store.asks.record(study.id, 0, proposals)]


@pytest.fixture
def change(store: Store) -> Callable[..., None]:
    """`change(evaluations, id, column=value)`; a timedelta counts from now."""

    def write(table: Any, id_: str, **values: Any) -> None:
        with store.database.write() as connection:
            now = store.database.now(connection)
            moved = {key: now + value if isinstance(value, timedelta) else value for key, value in values.items()}
            connection.execute(update(table).where(table.c.id == id_).values(**moved))

    return write


def claimed(store: Store, evaluation: EvaluationRecord, owner: str = ELSEWHERE) -> int:
    attempt = store.queue.claim(evaluation.id, owner)
    assert attempt is not None
    return attempt


def register(store: Store, owner: str = ELSEWHERE, queues: tuple[str, ...] = ("default",)) -> str:
    return store.workers.register(owner, owner.split(":")[0], 4711, "1.0", "celery", queues, {"name": "cuda:0"}).id


def test_nothing_is_seen_where_nothing_is(store: Store) -> None:
    seen = store.monitor.fleet()
    assert (seen.depths, seen.running, seen.workers, seen.failures, seen.quarantined) == ((), (), (), (), ())
    assert (seen.count("queued"), seen.throughput.hour, seen.outlook.seconds_left) == (0, 0, 0.0)


def test_depths_by_queue_and_priority(
    store: Store, queued: list[EvaluationRecord], change: Callable[..., None]
) -> None:
    register(store)
    for evaluation in queued[:2]:
        change(evaluations, evaluation.id, queue="80g", priority=5)
    change(evaluations, queued[2].id, priority=1)
    claimed(store, queued[3])
    found = [(one.queue, one.priority, one.queued, one.running, one.workers) for one in store.monitor.depths()]
    assert found == [("80g", 5, 2, 0, 0), ("default", 1, 1, 0, 1), ("default", 0, 2, 1, 1)]
    assert store.monitor.fleet().count("queued") == 5
    assert store.monitor.fleet().count("running") == 1


def test_what_waits_for_its_study_to_go_on(
    store: Store, study: StudyRecord, queued: list[EvaluationRecord], proposal: Callable[..., NewProposal]
) -> None:
    other = store.studies.create("second", {}, seed=1, plugin_versions={})
    store.asks.record(other.id, 0, [proposal(0.5), proposal(0.6)])
    seen = store.monitor.fleet()
    assert [(depth.queued, depth.held) for depth in seen.depths] == [(8, 2)]
    assert seen.held == {"second": 2}
    store.studies.set_state(study.id, "paused")
    assert store.monitor.fleet().held == {"first": 6, "second": 2}
    assert store.monitor.fleet().outlook.seconds_left == 0.0, "nothing that is held counts"


def test_what_runs_and_where(store: Store, queued: list[EvaluationRecord], change: Callable[..., None]) -> None:
    register(store)
    attempt = claimed(store, queued[2])
    store.queue.beat(queued[2].id, attempt, progress=0.25)
    change(evaluations, queued[2].id, started_at=timedelta(seconds=-30))
    claimed(store, queued[4], "other:0123456789ab:12:1")
    first, second = store.monitor.running()
    assert (first.subject.study, first.subject.candidate, first.subject.number) == ("first", "candidate 2", 2)
    assert (first.subject.stage, first.subject.part) == ("search", 0)
    assert (first.worker, first.host, first.pid, first.device) == (ELSEWHERE, "gpu-box", 4711, "cuda:0")
    assert (first.progress, first.attempt, first.queue) == (0.25, 1, "default")
    assert 30 <= first.seconds < 600
    assert 0 < first.lease_seconds <= 60
    assert (second.host, second.pid, second.device, second.progress) == ("other", 12, None, None)


def test_a_reference_is_called_by_its_label(store: Store, study: StudyRecord) -> None:
    base = store.candidates.add_reference(study.id, "base", {}, "a" * 64)
    evaluation = store.queue.ensure(base.id, "test", "b" * 64)
    claimed(store, evaluation)
    (seen,) = store.monitor.running()
    assert (seen.subject.candidate, seen.subject.number, seen.subject.stage) == ("base", None, "test")
    assert store.monitor.names([evaluation.id, base.id, "nothing"]) == {evaluation.id: "base", base.id: "base"}


def test_failures_are_the_latest_first(
    store: Store, queued: list[EvaluationRecord], change: Callable[..., None]
) -> None:
    for evaluation, text_ in zip(queued[:3], ("one", "two", "three"), strict=True):
        store.results.fail(evaluation.id, claimed(store, evaluation), "scores", text_)
    change(evaluations, queued[0].id, finished_at=timedelta(hours=-2))
    assert [failure.text for failure in store.monitor.failures()] == ["three", "two", "one"]
    (latest,) = store.monitor.failures(limit=1)
    assert (latest.kind, latest.worker, latest.attempts, latest.subject.candidate) == (
        "scores",
        ELSEWHERE,
        1,
        "candidate 2",
    )
    assert store.monitor.failures()[2].seconds_ago >= 7200
    assert store.monitor.quarantined() == []


def test_what_lost_its_workers_is_shown_with_what_they_left(store: Store, queued: list[EvaluationRecord]) -> None:
    for signal in (9, 9, 11):
        ending = Ending("lost", exit_signal=signal, peak_bytes=10**9, log_tail=f"killed by {signal}")
        assert store.queue.lose(queued[1].id, claimed(store, queued[1]), ending)
    store.results.fail(queued[0].id, claimed(store, queued[0]), "scores", "another matter")
    (found,) = store.monitor.quarantined()
    assert (found.failure.kind, found.failure.subject.candidate) == ("lost", "candidate 1")
    assert [(one.attempt, one.outcome, one.exit_signal, one.log_tail) for one in found.attempts] == [
        (1, "lost", 9, "killed by 9"),
        (2, "lost", 9, "killed by 9"),
        (3, "lost", 11, "killed by 11"),
    ]


def test_throughput_and_time_left(
    store: Store, queued: list[EvaluationRecord], change: Callable[..., None], answers: Callable[..., Responses]
) -> None:
    for evaluation, minutes in zip(queued[:3], (0.5, 5, 50), strict=True):
        seconds = {"merge": 2.0, "score": 8.0}
        assert store.results.finish(evaluation.id, claimed(store, evaluation), [answers(1.0)], {}, seconds)
        change(evaluations, evaluation.id, finished_at=timedelta(minutes=-minutes))
    assert store.monitor.fleet().outlook.seconds_left is None, "nobody is there to work"
    seen = store.monitor.throughput()
    assert (seen.minute, seen.ten_minutes, seen.hour, seen.failed_hour) == (1, 2, 3, 0)
    store.results.fail(queued[3].id, claimed(store, queued[3]), "scores", "bad")
    assert store.monitor.throughput().failed_hour == 1
    store.queue.beat(queued[4].id, claimed(store, queued[4]), progress=0.5)
    register(store)
    register(store, "gpu-box:0123456789ab:4712:99")
    outlook = store.monitor.fleet().outlook
    assert (outlook.mean_seconds, outlook.workers) == (10.0, 2)
    assert outlook.seconds_left == pytest.approx(1.5 * 10 / 2), "one waits, and one is half done"


def test_workers_that_fell_silent_are_lost(
    store: Store, queued: list[EvaluationRecord], change: Callable[..., None]
) -> None:
    here, silent, left, long_ago = (register(store, f"gpu-box:0123456789ab:{pid}:99") for pid in range(4))
    dead = register(store, this_process().rsplit(":", 1)[0] + ":1")
    store.workers.evaluates(here, queued[0].id)
    change(workers, silent, last_seen_at=timedelta(seconds=-121))
    change(workers, long_ago, last_seen_at=timedelta(days=-2))
    store.workers.move(left, "gone", "asked to end")
    seen = {worker.id: worker for worker in store.monitor.workers()}
    assert {id_: worker.state for id_, worker in seen.items()} == {here: "up", silent: "lost", dead: "lost"}
    assert seen[here].evaluation is not None
    assert seen[here].evaluation.candidate == "candidate 0"
    assert seen[here].device_name == "cuda:0"
    assert seen[silent].silent_seconds >= 121
    everyone = {worker.id: worker for worker in store.monitor.workers(gone=10)}
    assert everyone[left].state == "gone"
    assert everyone[left].reason == "asked to end"
    assert everyone[long_ago].state == "lost"
    assert len(store.monitor.workers(gone=1)) == 4
    (depth,) = store.monitor.depths()
    assert depth.workers == 1, "those that are lost take nothing"


def test_what_a_worker_cannot_evaluate(store: Store, study: StudyRecord) -> None:
    worker, other = register(store), register(store, "gpu-box:0123456789ab:4712:99")
    store.events.note(study.id, "worker.refused", worker, {"reason": "no plugin of that name"})
    assert [seen.refused for seen in store.monitor.workers()] == [{}, {}], "the study does not run"
    store.studies.set_state(study.id, "running")
    refused = {seen.id: dict(seen.refused) for seen in store.monitor.workers()}
    assert refused == {worker: {"first": "no plugin of that name"}, other: {}}


@contextmanager
def statements(store: Store) -> Iterator[list[tuple[str, Any]]]:
    seen: list[tuple[str, Any]] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        seen.append((statement, parameters))

    event.listen(store.database.engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(store.database.engine, "before_cursor_execute", note)


def test_every_query_is_on_an_index(store: Store, study: StudyRecord, queued: list[EvaluationRecord]) -> None:
    store.events.note(study.id, "worker.refused", register(store), {"reason": "x"})
    for _ in range(3):
        store.queue.lose(queued[1].id, claimed(store, queued[1]), Ending("lost"))
    with statements(store) as seen:
        store.monitor.fleet()
        store.monitor.workers(gone=10)
        store.monitor.names([queued[0].id])
    asked = [(statement, given) for statement, given in seen if statement.startswith("SELECT") and "FROM" in statement]
    assert len(asked) >= 10
    with store.database.engine.connect() as connection:
        sqlite = connection.dialect.name == "sqlite"
        if not sqlite:  # of a table of one page it would read all
            connection.execute(text("SET enable_seqscan = off"))
        for statement, given in asked:
            explain = "EXPLAIN QUERY PLAN " if sqlite else "EXPLAIN "
            lines = [str(row[-1]) for row in connection.exec_driver_sql(explain + statement, given)]
            for line in lines:  # an index of one state may be read as a whole
                of_one_state = any(f"USING INDEX ix_evaluations_{state}" in line for state in PARTIAL)
                whole = any(f"{scan} {table}" in line for scan in ("SCAN", "Seq Scan on") for table in LARGE)
                assert of_one_state or not whole, (statement, lines)


def test_the_index_test_would_notice(store: Store) -> None:
    query = str(select(evaluations.c.id).where(evaluations.c.error_text == "x").compile(store.database.engine))
    with store.database.engine.connect() as connection:
        sqlite = connection.dialect.name == "sqlite"
        explain = "EXPLAIN QUERY PLAN " if sqlite else "EXPLAIN "
        given: Any = ("x",) if sqlite else {"error_text_1": "x"}
        lines = [str(row[-1]) for row in connection.exec_driver_sql(explain + query, given)]
    assert any("SCAN evaluations" in line or "Seq Scan on evaluations" in line for line in lines)


def test_attempts_are_joined_by_their_evaluation(store: Store, queued: list[EvaluationRecord]) -> None:
    """Another's attempts are not shown among those of what is in quarantine."""
    for evaluation in queued[:2]:
        for _ in range(3):
            store.queue.lose(evaluation.id, claimed(store, evaluation), Ending("lost", log_tail=evaluation.id))
    with store.database.write() as connection:
        at = store.database.now(connection)
        row = {"evaluation_id": queued[2].id, "attempt": 1, "worker": "x", "started_at": at, "log_tail": "stranger"}
        connection.execute(insert(attempts).values(**row))
    for found in store.monitor.quarantined():
        assert {attempt.log_tail for attempt in found.attempts} == {found.failure.subject.evaluation_id}
