"""`status`, `best`, `front` and `lineage`: tables for people, JSON for scripts."""

import json
import shutil
import struct

import pytest
from heterosis.core.recipe import Recipe
from heterosis.storage import Store


@pytest.fixture
def two_studies(finished, tmp_path):
    """A database with the finished study and one that has just been set up."""
    shutil.copy(finished[0] / "heterosis.db", tmp_path)
    with Store.open(tmp_path / "heterosis.db") as store:
        spec = store.studies.get("tiny").spec
        store.studies.create("second", spec, 1, {"numpy": "0.1", "no-such-package": "1"})
    return tmp_path


def test_status(finished, heterosis):
    folder, _ = finished
    printed = heterosis(folder, "status").stdout
    assert "tiny  complete" in printed
    assert "6 of 6 done" in printed
    content = json.loads(heterosis(folder, "status", "tiny", "--json").stdout)
    assert (content["state"], content["done"], content["whole"], content["failed"]) == ("complete", 6, 6, 0)
    assert content["later_stages"] == {"validation": 2, "test": 5}
    assert set(content["seconds"]) == {"merge", "score"}
    assert content["other_versions"] == {}


def test_status_of_several_studies(two_studies, heterosis):
    lines = heterosis(two_studies, "status").stdout.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [["tiny", "complete"], ["second", "created"]]
    assert [found["name"] for found in json.loads(heterosis(two_studies, "status", "--json").stdout)] == [
        "tiny",
        "second",
    ]
    printed = heterosis(two_studies, "status", "second").stdout
    assert "not installed" in printed
    assert "0 of 6 done" in printed


def test_a_study_is_named_or_the_only_one(two_studies, heterosis):
    assert "tiny, second" in heterosis(two_studies, "best", code=1).stderr
    assert "Did you mean 'tiny'?" in heterosis(two_studies, "best", "tinny", code=1).stderr
    assert "no candidate has succeeded" in heterosis(two_studies, "best", "second", code=1).stderr


def test_status_groups_failures_by_reason(two_studies, heterosis):
    with Store.open(two_studies / "heterosis.db") as store:
        waiting = [c for c in store.candidates.all(store.studies.get("tiny").id, "bred") if "test" not in c.evaluations]
        for candidate in waiting[:3]:
            evaluation = store.queue.ensure(candidate.id, "test", "key")
            attempt = store.queue.claim(evaluation.id, "somebody")
            store.results.fail(evaluation.id, attempt, "weights", "layer 3 is not finite")
    content = json.loads(heterosis(two_studies, "status", "tiny", "--json").stdout)
    assert content["failures"] == [{"reason": "weights: layer 3 is not finite", "count": 3}]


def test_best(finished, heterosis):
    folder, _ = finished
    printed = heterosis(folder, "best").stdout
    assert "the best on validation items" in printed
    content = json.loads(heterosis(folder, "best", "--json").stdout)
    assert set(content["measurements"]) == {"search", "validation", "test"}
    recipe = Recipe.from_yaml(heterosis(folder, "best", "--recipe").stdout)
    assert recipe == Recipe.from_dict(content["recipe"])
    assert content["operator"] == "random"


def test_front(finished, heterosis):
    folder, _ = finished
    printed = heterosis(folder, "front", "--plot", "again.png").stdout
    assert "accuracy words (max)" in printed
    assert struct.unpack(">II", (folder / "again.png").read_bytes()[16:24])[0] > 500
    members = json.loads(heterosis(folder, "front", "--json").stdout)
    best = json.loads(heterosis(folder, "status", "--json").stdout)["best_number"]
    assert best in [member["number"] for member in members]


def test_lineage(finished, heterosis):
    folder, _ = finished
    assert "random recorded no relatives" in heterosis(folder, "lineage", 2).stdout
    assert "numbered from 0" in heterosis(folder, "lineage", 99, code=1).stderr


def test_lineage_of_what_was_bred(tmp_path, write_study, heterosis):
    folder = write_study(
        tmp_path, optimizer={"name": "ga", "population": 4}, candidates=12, tasks={"words": {"search": "search.jsonl"}}
    )
    heterosis(folder, "run", "study.yaml", "--no-export")
    content = json.loads(heterosis(folder, "lineage", 9, "--json").stdout)
    by_number = {found["number"]: found for found in content["candidates"]}
    parents = by_number[9]["parents"]
    assert parents
    assert all(parent in by_number for parent in parents)
    printed = heterosis(folder, "lineage", 9).stdout
    assert all(f"candidate {parent} " in printed for parent in parents)
    child_of_first = json.loads(heterosis(folder, "lineage", parents[0], "--json").stdout)["children"]
    assert 9 in child_of_first
