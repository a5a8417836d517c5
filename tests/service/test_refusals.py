"""What cannot work is refused before the search: exit code 1, one message with advice, nothing written."""

import sqlite3
from pathlib import Path

import pytest

MERGE = {"method": "task_arithmetic", "weight": [0.0, 1.5]}


def space(checkpoints, **changes):
    sources = [str(checkpoints / "one"), str(checkpoints / "two")]
    return {"base": str(checkpoints / "base"), "sources": sources, "merge": MERGE, **changes}


def refusals(checkpoints):
    return {
        "key": ({"candidate": 3}, "Did you mean 'candidates'?"),
        "method": (
            {"space": space(checkpoints, merge={"method": "task_arithmetics"})},
            "Did you mean 'task_arithmetic'",
        ),
        "parameter": ({"space": space(checkpoints, merge={**MERGE, "wieght": 1.0})}, "Did you mean 'weight'?"),
        "optimizer": ({"optimizer": "randomm"}, "Did you mean 'random'?"),
        "optimizer option": ({"optimizer": {"name": "cmaes", "populaton": 4}}, "populaton"),
        "range": (
            {"space": space(checkpoints, merge={**MERGE, "weight": [1.5, 0.0]})},
            "upside down; write [0.0, 1.5]",
        ),
        "checkpoint": ({"space": space(checkpoints, base="nowhere")}, "there is no checkpoint at"),
        "task": ({"objectives": [{"maximize": "accuracy", "tasks": ["wrods"]}]}, "Did you mean 'words'?"),
        "objective": ({"objectives": [{"maximize": "acuracy", "tasks": ["words"]}]}, "Did you mean 'accuracy'?"),
        "task file": ({"tasks": {"words": {"search": "serch.jsonl"}}}, "serch.jsonl"),
        "empty task": ({"tasks": {"words": {"search": "empty.jsonl"}}}, "empty"),
        "steady state": ({"steady_state": "yes please"}, "say `true` or `false`, not 'yes please'"),
        "steady race": ({"steady_state": True, "fitness": "auto"}, "say either `fitness: full`"),
        "no space": ({"space": None}, "`space` is missing"),
    }


@pytest.mark.parametrize("what", refusals(Path()))
def test_a_study_file_that_cannot_work(what, tmp_path, write_study, heterosis, checkpoints):
    changes, words = refusals(checkpoints)[what]
    folder = write_study(tmp_path, **changes)
    (folder / "empty.jsonl").write_text("")
    before = sorted(folder.rglob("*"))
    refused = heterosis(folder, "run", "study.yaml", code=1)
    assert refused.stderr.startswith("Error: ")
    assert words in refused.stderr
    assert "Traceback" not in refused.stderr
    assert refused.stdout == ""
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "missing.yaml"), "there is no file missing.yaml"),
        (("run", "study.yaml", "--device", "cuda:7"), "Usable: cpu"),
        (("run", "study.yaml", "--storage", "mysql://host/name"), "'mysql'"),
        (("run", "study.yaml", "--storage", "sqlite:///no/such/folder/x.db"), "choose another --storage"),
        (("run", "study.yaml", "--out", "search.jsonl"), "is a file"),
        (("run", "study.yaml", "--steady-state", "--fitness", "auto"), "or `steady_state: false` (--generations)"),
    ],
)
def test_an_argument_that_cannot_work(words, message, tmp_path, write_study, heterosis):
    folder = write_study(tmp_path)
    before = sorted(folder.rglob("*"))
    assert message in heterosis(folder, *words, code=1).stderr
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("command", ["status", "best", "front", "resume", "export", "lineage"])
def test_looking_makes_no_database(command, tmp_path, heterosis):
    more = {"export": ["out"], "lineage": [0]}.get(command, [])
    assert "heterosis run" in heterosis(tmp_path, command, *more, code=1).stderr
    assert list(tmp_path.iterdir()) == []


def test_a_database_of_a_newer_version_is_left_alone(tmp_path, write_study, heterosis):
    from heterosis.storage import Store

    folder = write_study(tmp_path)
    Store.open(folder / "heterosis.db").close()
    with sqlite3.connect(folder / "heterosis.db") as database:
        database.execute("update alembic_version set version_num = '9999'")
    for words in (("status",), ("run", "study.yaml")):
        refused = heterosis(folder, *words, code=1)
        assert "pip install --upgrade heterosis" in " ".join(refused.stderr.split())
