"""Why not uniform: each start beside the best that takes no more."""

import json

import pytest
from heterosis.core.errors import ConfigurationError
from heterosis.search.level_report import as_json, level_report


def test_each_start_is_compared_with_the_best_that_takes_no_more(levelled, capsys, monkeypatch, tmp_path):
    study = levelled()
    with pytest.raises(ConfigurationError, match="has not begun"):
        level_report(study)
    study.optimize(candidates=30)
    report = level_report(study)
    done = [
        (study.candidates[one.number].measurements["search"][report.objective].mean, one)
        for one in (row.start for row in report.comparisons)
    ]
    assert len(done) > 3
    for mean, start in done:
        assert start.value.mean == mean
    for row in report.comparisons:
        assert row.best.cost <= row.start.cost
        assert row.gain == row.best.value.mean - row.start.value.mean >= 0
        cheaper = [start.value.mean for _, start in done if start.cost <= row.start.cost]
        assert row.best.value.mean >= max(cheaper)
        assert (row.winner_gain is None) == (report.winner.cost > row.start.cost)
    assert json.loads(json.dumps(as_json(report)))["winner"]["candidate"] == report.winner.number
    assert {label for labels in report.levels.values() for label in labels} <= set(report.signs)
    assert len(set(report.signs.values())) == len(report.signs)

    from heterosis.service.cli import app

    with pytest.raises(SystemExit):
        app(["levels", "--storage", str(tmp_path / "a.db")])
    out = capsys.readouterr().out
    assert "uniform int2-g16" in out
    assert f"candidate {report.winner.number}, " in out
    for kind in ("qkv", "o_proj", "gate_up", "down_proj"):
        assert kind in out
    with pytest.raises(SystemExit):
        app(["levels", "--storage", str(tmp_path / "a.db"), "--json"])
    assert len(json.loads(capsys.readouterr().out)["starts"]) == len(report.comparisons)


def test_a_study_of_merges_alone_has_no_such_report(study):
    with pytest.raises(ConfigurationError, match="searches no bit-widths"):
        level_report(study())
