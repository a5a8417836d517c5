"""A tiny study on disk, the command line run in its folder, and one study that has been run to its end."""

import json
from contextlib import chdir
from pathlib import Path

import pytest
import yaml
from heterosis.service.cli import app
from typer.testing import CliRunner

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    """Whatever stands here runs whole studies through the command line."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.end_to_end)


WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
STAGES = {"search": (12, 0), "validation": (12, 12), "test": (20, 24)}


def write_items(path, count, first):
    lines = []
    for place in range(first, first + count):
        choices = [f" {WORDS[(place + step) % 12]}" for step in range(4)]
        prompt = f"the {WORDS[place % 12]} and the {WORDS[place // 12]} is"
        lines.append(json.dumps({"id": str(place), "prompt": prompt, "choices": choices, "answer": place % 4}))
    path.write_text("\n".join(lines), encoding="utf-8")


@pytest.fixture(scope="session")
def write_study(checkpoints):
    """Writes `study.yaml`, with its task files, into a folder; `changes` replace or (None) remove keys."""

    def write(folder: Path, **changes):
        folder.mkdir(parents=True, exist_ok=True)
        for stage, (count, first) in STAGES.items():
            write_items(folder / f"{stage}.jsonl", count, first)
        content = {
            "study": "tiny",
            "seed": 3,
            "candidates": 6,
            "finalists": 2,
            "space": {
                "base": str(checkpoints / "base"),
                "sources": [str(checkpoints / "one"), str(checkpoints / "two")],
                "merge": {"method": "task_arithmetic", "weight": [0.0, 1.5]},
            },
            "tasks": {
                "words": {stage: f"{stage}.jsonl" for stage in STAGES},
                "held": {"test": "test.jsonl"},
            },
            "objectives": [{"maximize": "accuracy", "tasks": ["words"]}],
            "optimizer": "random",
        }
        content = {key: value for key, value in {**content, **changes}.items() if value is not None}
        (folder / "study.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        return folder

    return write


@pytest.fixture(scope="session")
def heterosis():
    """Runs the command line in a folder; `.stdout`, `.stderr`, `.exit_code`."""

    def run(folder, *words, code=0, **environment):
        with chdir(folder):
            result = CliRunner().invoke(app, [str(word) for word in words], env=environment)
        assert result.exit_code == code, result.output
        return result

    return run


@pytest.fixture(scope="session")
def finished(tmp_path_factory, write_study, heterosis):
    """A folder with a study that was run to its end, and what `run` printed."""
    folder = write_study(tmp_path_factory.mktemp("finished"), watch=[{"minimize": "bytes"}, {"minimize": "parameters"}])
    printed = heterosis(folder, "run", "study.yaml").stdout
    return folder, printed
