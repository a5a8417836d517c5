"""Many processes that claim from one SQLite file at the same moment: each is served, and none is told to come back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from heterosis.core.genome import Genome
from heterosis.storage import NewProposal, Store
from heterosis.testing.invariants import check_record

pytestmark = pytest.mark.slow

WRITERS, CANDIDATES, ROUNDS = 8, 40, 60
CLAIMER = """
import sys
from heterosis.storage import Store, this_process

with Store.open(sys.argv[1]) as store:
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(int(sys.argv[2])):
        for claim in store.queue.take(this_process(), ["any"], lambda waiting: waiting[len(waiting) // 2]):
            assert store.queue.beat(claim.evaluation.id, claim.attempt)
            assert store.queue.release(claim.evaluation.id, claim.attempt)
"""


def test_no_writer_is_turned_away(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'a.db'}"
    with Store.open(url) as store:
        study = store.studies.create("first", {}, seed=1, plugin_versions={})
        proposals = [
            NewProposal(Genome({"n": n}), {"n": n}, f"{n:064}", f"{n:064}", "random") for n in range(CANDIDATES)
        ]
        store.asks.record(study.id, 0, proposals)
        store.queue.assign([one.id for one in store.queue.pending(study.id)], "any")
        store.studies.set_state(study.id, "running")
        command = [sys.executable, "-c", CLAIMER, url, str(ROUNDS)]
        writers = [subprocess.Popen(command, stdin=-1, stdout=-1, stderr=-1, text=True) for _ in range(WRITERS)]
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.write("go\n")
            writer.stdin.flush()
        assert [writer.communicate(timeout=600)[1] for writer in writers] == [""] * WRITERS
        check_record(store, study.id)
        assert sum(one.attempt for one in store.queue.pending(study.id)) == WRITERS * ROUNDS
