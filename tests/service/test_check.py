"""`heterosis check`: what a study would need; nothing is recorded."""

import json

import pytest


def test_it_says_what_the_study_would_do_and_need(tmp_path, write_study, heterosis):
    folder = write_study(tmp_path)
    before = sorted(path.name for path in folder.iterdir())
    printed = heterosis(folder, "check", "study.yaml").stdout
    for words in ("task_arithmetic, one group: 2 genes", "for the model", "of files mapped", "available", "free"):
        assert words in printed
    assert printed.index("merging takes") < printed.rindex("task_arithmetic  ")
    assert " in search, " in printed
    assert sorted(path.name for path in folder.iterdir()) == before


def test_run_says_the_same_before_it_begins(finished):
    _, printed = finished
    assert printed.index("items asked") < printed.index("of files mapped") < printed.index("search 6 of 6")


def test_json_holds_the_numbers(tmp_path, write_study, heterosis):
    content = json.loads(heterosis(write_study(tmp_path), "check", "study.yaml", "--json").stdout)
    assert content["study"] == "tiny"
    assert content["shortages"] == []
    assert content["memory"] >= content["model"] == content["export"] > 0
    assert content["tokens"]["search"]["words"]["read"] > 0
    assert content["merges"]["task_arithmetic"]["seconds"] > 0


@pytest.mark.parametrize("what", ["memory", "disk"])
def test_what_does_not_suffice_is_told_and_fails(what, tmp_path, write_study, heterosis, monkeypatch):
    monkeypatch.setattr("heterosis.core.preflight.Needs.shortages", property(lambda needs: [what]))
    folder = write_study(tmp_path)
    assert f"There is less {what} than" in heterosis(folder, "check", "study.yaml", code=1).stdout
    without = heterosis(folder, "check", "study.yaml", "--no-export", code=1 if what == "memory" else 0)
    assert ("There is less" in without.stdout) == (what == "memory")


def test_an_item_that_does_not_fit_the_model_is_refused(tmp_path, write_study, heterosis):
    folder = write_study(tmp_path)
    line = {"id": "long", "prompt": "nobody knows " * 200, "choices": [" a", " b"], "answer": 0}
    (folder / "search.jsonl").write_text(json.dumps(line))
    assert "do not fit the model's 128 positions" in heterosis(folder, "check", "study.yaml", code=1).stderr
    assert "do not fit the model's 128 positions" in heterosis(folder, "run", "study.yaml", code=1).stderr
    assert not (folder / "heterosis.db").exists()


def test_a_file_that_is_wrong_is_refused(tmp_path, write_study, heterosis):
    folder = write_study(tmp_path, optimizer="cmaess")
    assert "Did you mean 'cmaes'" in heterosis(folder, "check", "study.yaml", code=1).stderr
