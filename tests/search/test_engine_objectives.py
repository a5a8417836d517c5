"""Objectives that are measured in an engine: what studies record of them, and exports need not measure again."""

import json

import heterosis as ht
import pytest
from heterosis.fitness import candidate_engine, verification
from heterosis.fitness.engine_figures import EngineFigures, weight_bytes
from heterosis.plugins.export.compressed_tensors import CompressedTensorsExporter
from heterosis.service.cli import app
from typer.testing import CliRunner

TARGET = "compressed-tensors"


@pytest.fixture
def study(tmp_path, checkpoints, words):
    quantize = ht.Quantize(levels=["int4-g16", "int8-g16"], target=TARGET)
    sources = [str(checkpoints / name) for name in ("one", "two")]
    space = ht.Space(str(checkpoints / "base"), sources, ht.Merge("linear", weight=(0.0, 1.0)), tmp_path, quantize)
    goals = [ht.maximize("decode_speed"), ht.maximize("accuracy", task=words, items=6), ht.minimize("lossless_bytes")]
    made = ht.Study("fast", space, goals, storage=tmp_path / "a.db", optimizer="nsga2", seed=3, finalists=1)
    yield made
    made.close()


@pytest.fixture
def runs(monkeypatch):
    """Figures that are given instead of running what was exported: faster each time."""
    given = []

    def measure(_exporter, directory):
        given.append(EngineFigures(weight_bytes(directory), 80.0, 30.0 + len(given), 4_000_000, 1.5, 0.5))
        return given[-1]

    monkeypatch.setattr(candidate_engine, "measure_engine", measure)
    return given


def shown(folder, *words):
    result = CliRunner(env={"COLUMNS": "160"}).invoke(app, [*words, "--storage", str(folder / "a.db")])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_what_was_measured_is_recorded_searched_by_and_shown_with_the_export(study, runs, tmp_path, monkeypatch):
    study.optimize(candidates=4)
    searched = [candidate.measurements["search"] for candidate in study.candidates]
    speeds = [figures["decode_speed"].mean for figures in searched]
    assert sorted(speeds) == [30.0, 31.0, 32.0, 33.0]
    assert all(figures["decode_speed"].standard_error == 0.5 for figures in searched)
    assert all(figures["lossless_bytes"].mean > 0 for figures in searched)
    best = study.best()
    assert best.measurements["search"]["decode_speed"].mean == max(speeds)
    # the finalist anew for validation, and it and its references for the test: no stage reports another's luck
    assert best.engine == {"format": TARGET, **runs_of(best, runs).to_dict()}
    assert best.measurements["test"]["decode_speed"].mean == best.engine["decode_speed"] > 33.0
    assert best.exports == []
    assert f"{TARGET}, as it was evaluated: " in shown(tmp_path, "best")
    assert "tokens/s" not in shown(tmp_path, "front")

    count = len(runs)
    monkeypatch.setattr(verification, "measure_engine", None)  # would fail
    best.export(tmp_path / "best")
    assert len(runs) == count
    (noted,) = best.exports
    assert noted == {**best.engine, "path": str((tmp_path / "best").resolve())}
    assert "as it was evaluated" not in shown(tmp_path, "best")
    assert json.loads(shown(tmp_path, "best", "--json"))["engine"] == best.engine
    printed = shown(tmp_path, "front")
    assert all(
        word in printed for word in ("exported as", "exported size", "tokens/s", "peak memory", TARGET, "4.0 MB")
    )


def runs_of(candidate, runs):
    """The last run that a candidate's figures can be of."""
    return next(run for run in runs if run.decode_speed == candidate.engine["decode_speed"])


class Another(CompressedTensorsExporter):
    name = "another"


def test_another_format_is_measured_where_it_was_not(study, runs, tmp_path, monkeypatch, install_plugin):
    install_plugin("exporters", "another", Another)
    study.optimize(candidates=2)
    asked = []
    figures = EngineFigures(1000, 70.0, 99.0, 3_000_000)
    monkeypatch.setattr(verification, "measure_engine", lambda exporter, _folder: asked.append(exporter) or figures)
    candidate = study.candidates[0]
    candidate.export(tmp_path / "one", "another")
    candidate.export(tmp_path / "two", TARGET)
    assert asked == ["another"]
    assert [noted["decode_speed"] for noted in candidate.exports] == [99.0, candidate.engine["decode_speed"]]
