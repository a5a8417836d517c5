"""`heterosis lineage NUMBER --provenance`: what computed a candidate's results."""

import json
import shutil

import pytest
from heterosis.core.genome import content_hash
from heterosis.storage import Store
from heterosis.storage.tables import evaluations
from sqlalchemy import update

ENVIRONMENT = {"code": {"heterosis": "0.9"}, "libraries": {"torch": "2.13"}, "device": {"type": "cpu", "driver": None}}


@pytest.fixture
def folder(finished, tmp_path):
    """The finished study, as if this environment had computed all of it."""
    shutil.copy(finished[0] / "heterosis.db", tmp_path)
    with Store.open(tmp_path / "heterosis.db") as store:
        environment_id = store.environments.record(ENVIRONMENT)
        with store.database.write() as connection:
            connection.execute(update(evaluations).values(environment_id=environment_id))
    return tmp_path


def test_where_the_results_of_a_candidate_come_from(folder, heterosis):
    best = json.loads(heterosis(folder, "best", "--json").stdout)
    found = json.loads(heterosis(folder, "lineage", best["number"], "--provenance", "--json").stdout)
    assert [one["stage"] for one in found] == ["search", "validation", "test"]
    assert all(one["study"] == "tiny" and one["number"] == best["number"] for one in found)
    for one in found:
        assert one["recipe_sha256"] == content_hash(best["recipe"])
        assert set(one["item_sets"]) == ({"words", "held"} if one["stage"] == "test" else {"words"})
        assert (one["state"], one["attempt"]) == ("succeeded", 1)
        assert one["finished_at"] > one["started_at"]
        assert (one["environment"], one["environment_id"]) == (ENVIRONMENT, content_hash(ENVIRONMENT))
    assert len({one["item_sets"]["words"] for one in found}) == 3, "each stage asks others"


def test_people_are_shown_each_environment_once(folder, heterosis):
    best = json.loads(heterosis(folder, "best", "--json").stdout)
    printed = heterosis(folder, "lineage", best["number"], "--provenance").stdout
    assert f"recipe {content_hash(best['recipe'])}" in printed
    assert printed.count(f"environment {content_hash(ENVIRONMENT)[:12]}") == 1
    rows = [line.split() for line in printed.splitlines()]
    for row in (["libraries", "torch", "2.13"], ["device", "driver", "-"], ["code", "heterosis", "0.9"]):
        assert row in rows
