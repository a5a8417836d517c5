"""Ctrl-C again and again in one process, as in a notebook: each time the search goes on, and ends the same."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

NOTEBOOK = """
import json, os, random, signal, sys, threading, time
import torch
torch.set_num_threads(1)
import heterosis as ht

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` would have it ignored
folder, words = sys.argv[1:3]
space = ht.Space(base=f"{folder}/base", sources=[f"{folder}/one", f"{folder}/two"], merge=ht.Merge(["ties", "linear"]))

def study(storage):
    return ht.Study("tiny", space, [ht.maximize("accuracy", task=words, items=10)], "ga", 3, storage, 2, population=4)

def history(study):
    rows = [(c.name, dict(c.genome), c.record.state, {s: {k: v.mean for k, v in m.items()}
            for s, m in c.measurements.items()}) for c in study.candidates]
    return [rows, study.best().name, [{k: v.mean for k, v in row.figures.items()} for row in study.report().rows]]

whole = study(sys.argv[3]).optimize(16)
began = time.monotonic()
study(sys.argv[3] + "-again").optimize(16)
took = time.monotonic() - began

chance = random.Random(6)
found = study(sys.argv[4])
interruptions = 0
for _ in range(12):
    threading.Timer(chance.uniform(0, took / 2), os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        found.optimize(16)
        time.sleep(took)
    except KeyboardInterrupt:
        interruptions += 1
print(json.dumps([interruptions, history(whole) == history(found.optimize(16)), found.store.studies.get("tiny").state]))
"""


def test_interruptions_at_any_moment_change_nothing(checkpoints, words, tmp_path):
    databases = [str(tmp_path / name) for name in ("whole.db", "interrupted.db")]
    done = subprocess.run(
        [sys.executable, "-c", NOTEBOOK, str(checkpoints), words, *databases],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [12, True, "complete"]
