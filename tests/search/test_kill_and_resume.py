"""A study killed with SIGKILL at any moment goes on, and ends as if nothing had happened."""

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from heterosis.search.study import Study

pytestmark = pytest.mark.slow

RUN = """
import sys
import torch
torch.set_num_threads(1)
from pathlib import Path
from heterosis.core.study_spec import StudySpec
from heterosis.search.study import Study
file, storage, command = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
study = Study.create(StudySpec.from_file(file), storage) if command == "run" else Study.load("killed", storage)
print("started", flush=True)
study.optimize()
"""
CANDIDATES = 40
KILLS = 10


@pytest.fixture(params=["ga", "tpe"])
def study_file(request, checkpoints, tmp_path):
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight"]
    for stage in ("search", "validation", "test"):
        items = [
            {
                "id": f"{stage}-{n}",
                "prompt": f"{stage} {words[n]} and {words[-n]} is",
                "choices": words[:4],
                "answer": n % 4,
            }
            for n in range(8)
        ]
        (tmp_path / f"{stage}.jsonl").write_text("\n".join(json.dumps(item) for item in items))
    content = {
        "study": "killed",
        "seed": 5,
        "candidates": CANDIDATES,
        "finalists": 3,
        "space": {
            "base": str(checkpoints / "base"),
            "sources": [str(checkpoints / name) for name in ("one", "two", "lora-one")],
            "merge": {"method": ["task_arithmetic", "dare_ties"], "by_module": True},
        },
        "tasks": {"words": {stage: f"{stage}.jsonl" for stage in ("search", "validation", "test")}},
        "objectives": [{"maximize": "accuracy", "tasks": ["words"]}],
        "optimizer": request.param,
    }
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def start(file: Path, storage: Path, command: str) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(file), str(storage), command], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "started\n"
    return process


def final_table(storage: Path) -> list:
    """All that a user may see of the study, row by row, but for times and ids."""
    study = Study.load("killed", storage)
    rows = [
        (
            candidate.name,
            candidate.record.state,
            candidate.record.recipe,
            candidate.record.genome and candidate.record.genome.to_json(),
            candidate.record.operator,
            candidate.record.parents,
            candidate.measurements,
            {stage: study.store.results.responses(candidate.record.id, stage) for stage in candidate.measurements},
        )
        for candidate in study.candidates
    ]
    asks = [[candidate.number for candidate in ask.candidates] for ask in study.store.asks.all(study.record.id)]
    report = study.report()
    winner = study.best().name
    study.close()
    return [rows, asks, report, winner]


def test_ten_kills_change_nothing(study_file, tmp_path):
    begun = time.monotonic()
    process = start(study_file, tmp_path / "whole.db", "run")
    searching = time.monotonic()
    assert process.wait() == 0
    searched = time.monotonic() - searching

    chance = random.Random(f"{study_file.read_text()} {begun}")
    kills = 0
    process = start(study_file, tmp_path / "killed.db", "run")
    for _ in range(KILLS):
        time.sleep(chance.uniform(0, searched / 4))
        kills += process.poll() is None
        process.kill()
        process.wait()
        process = start(study_file, tmp_path / "killed.db", "resume")
    assert process.wait() == 0
    assert kills >= KILLS // 2, f"only {kills} kills came before the study was over"

    whole, killed = final_table(tmp_path / "whole.db"), final_table(tmp_path / "killed.db")
    assert len(whole[0]) >= CANDIDATES // 2
    for expected, found in zip(whole[0], killed[0], strict=True):
        assert found == expected
    assert killed[1:] == whole[1:]
