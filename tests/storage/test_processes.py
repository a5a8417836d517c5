"""Several processes on one database, and processes that die in the middle of a write."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from heterosis.storage import NewProposal, Store, StudyRecord
from sqlalchemy import text

pytestmark = pytest.mark.slow

WORKER = """
import sys
from heterosis.core.errors import StorageError
from heterosis.core.estimate import Estimate
from heterosis.storage import ItemSet, Responses, Store, this_process

url, study_id = sys.argv[1:]
claimed = 0
with Store.open(url) as store:
    for evaluation in store.queue.pending(study_id):
        attempt = store.queue.claim(evaluation.id, this_process())
        if attempt is None:
            continue
        answers = Responses("maths", ItemSet("a" * 64, ("q1", "q2")), (0.5, 1.0))
        assert store.queue.beat(evaluation.id, attempt)
        assert store.results.finish(evaluation.id, attempt, [answers], {"accuracy": Estimate(0.75, 0.1, 2)}, {})
        claimed += 1
print(claimed)
"""

WRITER = """
import sys
from heterosis.core.estimate import Estimate
from heterosis.core.genome import Genome
from heterosis.storage import ItemSet, NewProposal, Responses, Store, this_process

url, study_id = sys.argv[1:]
with Store.open(url) as store:
    for ask_no in range(len(store.asks.all(study_id)), 100_000):
        numbers = range(3 * ask_no, 3 * ask_no + 3)
        proposals = [NewProposal(Genome({"n": n}), {"n": n}, f"{n:064}", f"{n:064}", "random") for n in numbers]
        for candidate in store.asks.record(study_id, ask_no, proposals):
            evaluation = candidate.evaluations["search"]
            attempt = store.queue.claim(evaluation.id, this_process(), 3600)
            answers = Responses("maths", ItemSet("a" * 64, ("q1",)), (1.0,))
            store.results.finish(evaluation.id, attempt, [answers], {"accuracy": Estimate(1.0, 0.1, 1)}, {})
        store.asks.mark_told(study_id, ask_no, ())
        print(ask_no, flush=True)
"""


def start(script: str, url: str, study: StudyRecord) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", script, url, study.id], stdout=-1, stderr=-1, text=True)


def test_processes_share_the_work(
    store: Store, url: str, study: StudyRecord, proposal: Callable[..., NewProposal]
) -> None:
    total = 200
    store.asks.record(study.id, 0, [proposal(place / total) for place in range(total)])
    workers = [start(WORKER, url, study) for _ in range(4)]
    ends = [worker.communicate(timeout=120) for worker in workers]
    assert [errors for _, errors in ends] == [""] * 4
    assert sum(int(said) for said, _ in ends) == total
    candidates = store.candidates.all(study.id)
    assert {candidate.state for candidate in candidates} == {"complete"}
    assert {candidate.evaluations["search"].attempt for candidate in candidates} == {1}
    journal = Counter(entry.type for entry in store.events.all(study.id, limit=10_000))
    assert journal["evaluation.started"] == journal["evaluation.succeeded"] == total


def test_two_processes_record_the_same_asks(
    store: Store, url: str, study: StudyRecord, proposal: Callable[..., NewProposal]
) -> None:
    script = """
import sys
from heterosis.core.genome import Genome
from heterosis.storage import NewProposal, Store
url, study_id = sys.argv[1:]
with Store.open(url) as store:
    for ask_no in range(20):
        numbers = range(2 * ask_no, 2 * ask_no + 2)
        proposals = [NewProposal(Genome({"n": n}), {"n": n}, f"{n:064}", f"{n:064}", "random") for n in numbers]
        found = store.asks.record(study_id, ask_no, proposals)
        assert [candidate.number for candidate in found] == list(numbers), found
"""
    processes = [start(script, url, study) for _ in range(3)]
    assert [process.communicate(timeout=120) for process in processes] == [("", "")] * 3
    assert [candidate.number for candidate in store.candidates.all(study.id)] == list(range(40))
    assert len(store.asks.all(study.id)) == 20


@pytest.mark.slow
def test_a_killed_writer_leaves_only_whole_facts(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'a.db'}"
    with Store.open(url) as store:
        study = store.studies.create("first", {}, seed=1, plugin_versions={})
    for round_ in range(4):
        process = start(WRITER, url, study)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.05 + 0.037 * round_)
        process.kill()
        process.communicate()
        with Store.open(url) as store:
            with store.database.read() as connection:
                assert connection.execute(text("PRAGMA integrity_check")).scalar() == "ok"
                assert connection.execute(text("PRAGMA foreign_key_check")).all() == []
            asks = store.asks.all(study.id)
            assert [ask.number for ask in asks] == list(range(len(asks)))
            assert {len(ask.candidates) for ask in asks} == {3}
            for candidate in store.candidates.all(study.id):
                done = candidate.evaluations["search"].state == "succeeded"
                assert done == (candidate.state == "complete") == ("search" in candidate.measurements)
            assert len(store.results.responses_of_study(study.id, "search")) == sum(
                candidate.state == "complete" for ask in asks for candidate in ask.candidates
            )
            store.queue.reap(study.id)
            assert {one.state for one in store.queue.pending(study.id)} <= {"queued"}
