"""A candidate that is run as it would ship: real figures of real engines, nothing left, and refusals before work."""

import math
import tempfile
from pathlib import Path

import pytest
import torch
from heterosis.core.errors import ConfigurationError, EvaluationError
from heterosis.core.fitness_spec import FitnessSpec
from heterosis.core.merge_space import Merge
from heterosis.core.quantize_space import Quantize
from heterosis.core.quiet import no_progress_bars
from heterosis.core.space import Space
from heterosis.core.study_spec import ObjectiveSpec, StudySpec, TaskSpec
from heterosis.fitness import candidate_engine
from heterosis.fitness.engine_figures import REPEATS, EngineFigures, weight_bytes
from heterosis.fitness.evaluator import Evaluator
from heterosis.plugins.export.bitsandbytes import BitsandbytesExporter
from heterosis.testing.tiny import tiny_model, tiny_tokenizer

ENGINE = (
    ObjectiveSpec("decode_speed", "maximize"),
    ObjectiveSpec("prefill_time", "minimize"),
    ObjectiveSpec("engine_memory", "minimize"),
)
LEVELS = {"compressed-tensors": ["int4-g16", "int8-g16"], "gguf": ["q4_0", "q8_0"], "bitsandbytes": ["nf4"]}


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """Three models whose matrices 32 divides."""
    folder = tmp_path_factory.mktemp("wide")
    for seed, name in enumerate(("base", "one", "two")):
        model = tiny_model(hidden_size=64, intermediate_size=96)
        for parameter in model.parameters():
            parameter.data *= 1 + 0.1 * seed
        with no_progress_bars():
            model.to(torch.bfloat16).save_pretrained(folder / name)
        tiny_tokenizer().save_pretrained(folder / name)
    return folder


@pytest.fixture
def spec(tmp_path, wide, choice_items, write_lines):
    write_lines(tmp_path / "words.jsonl", choice_items(4))

    def make(target="compressed-tensors", objectives=ENGINE, watch=(), fitness=None, quantize=True):
        tasks = {"words": TaskSpec("multiple_choice", files={"search": "words.jsonl"})}
        levels = Quantize(levels=LEVELS.get(target, ["int4-g16"]), target=target) if quantize else None
        sources = [str(wide / name) for name in ("one", "two")]
        space = Space(str(wide / "base"), sources, Merge("linear", weight=(0.0, 1.0)), quantize=levels)
        accuracy = ObjectiveSpec("accuracy", "maximize", ("words",))
        return StudySpec("tiny", space, tasks, (accuracy, *objectives), watch, fitness, folder=tmp_path)

    return make


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Where temporary files go."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def runs(monkeypatch):
    """Figures that are given instead of running what was exported, and what each was given for."""
    given = []

    def measure(exporter, directory):
        given.append((exporter, weight_bytes(directory)))
        return EngineFigures(weight_bytes(directory), 80.0, 30.0 + len(given), 4_000, 1.5, 0.5)

    monkeypatch.setattr(candidate_engine, "measure_engine", measure)
    return given


def middle(space):
    """The recipe in the middle of a space."""
    lower, upper = space.genes.bounds()
    return space.decode(space.genes.decode((lower + upper) / 2))


@pytest.mark.end_to_end
@pytest.mark.parametrize("target", ["compressed-tensors", "gguf"])
def test_a_candidate_is_exported_run_measured_and_removed(target, spec, temporary):
    evaluator = Evaluator(spec(target, (*ENGINE, ObjectiveSpec("bytes", "minimize"))))
    recipe = middle(evaluator.spec.space)
    found = evaluator.evaluate(recipe, "search")
    assert found.measured["decode_speed"].mean == found.engine["decode_speed"] > 0
    assert found.measured["decode_speed"].standard_error == found.engine["decode_error"] > 0
    assert found.measured["prefill_time"].mean == found.engine["prefill_ms"] > 0
    assert found.measured["prefill_time"].items == REPEATS
    assert found.measured["engine_memory"].mean == found.engine["memory"] > 0
    assert math.isnan(found.measured["engine_memory"].standard_error)
    assert found.engine["format"] == target
    assert found.engine["bytes"] == found.measured["bytes"].mean
    assert found.seconds["engine"] > 0
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("target", LEVELS)
def test_sources_are_run_in_the_same_engine(target, spec, runs, temporary):
    if target == "bitsandbytes":
        pytest.importorskip("bitsandbytes")
    evaluator = Evaluator(spec(target, ENGINE[:1]))
    found = evaluator.evaluate(evaluator.spec.space.references()["one"], "search")
    assert found.engine["format"] == runs[0][0] == target
    assert found.measured["decode_speed"].mean == 31.0
    assert list(temporary.iterdir()) == []


def test_each_evaluation_runs_once_whatever_it_is_asked_for_and_parts_do_not(spec, runs):
    evaluator = Evaluator(spec(watch=(ObjectiveSpec("bits", "minimize"),)))
    recipe = middle(evaluator.spec.space)
    whole = evaluator.evaluate(recipe, "search")
    assert len(runs) == 1
    again = evaluator.evaluate_known(recipe, "search", whole.scores)
    assert len(runs) == 2
    assert again.scores == whole.scores
    assert again.measured["decode_speed"].mean == 32.0
    part = evaluator.evaluate(recipe, "search", {"words": ["q0", "q1"]})
    assert (part.measured, part.engine, len(runs)) == ({}, None, 2)


def test_nothing_is_run_for_studies_that_do_not_ask(spec, runs):
    evaluator = Evaluator(spec(objectives=(ObjectiveSpec("bytes", "minimize"),)))
    recipe = middle(evaluator.spec.space)
    found = evaluator.evaluate(recipe, "search")
    assert (found.engine, runs) == (None, [])
    assert "engine" not in found.seconds


def test_what_does_not_run_fails_and_is_removed(spec, temporary, monkeypatch):
    def fail(_exporter, folder):
        assert weight_bytes(folder) > 0
        raise EvaluationError(f"{folder} does not run in a process of its own")

    monkeypatch.setattr(candidate_engine, "measure_engine", fail)
    evaluator = Evaluator(spec())
    with pytest.raises(EvaluationError, match="does not run"):
        evaluator.evaluate(middle(evaluator.spec.space), "search")
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"quantize": False}, "the space has no `quantize`"),
        ({"target": "none"}, "`space.quantize` has the target 'none': choose one that has an engine"),
        ({"fitness": FitnessSpec()}, "with estimated fitness few are: say `fitness: full`"),
        ({"objectives": (), "watch": ENGINE[1:2], "target": "none"}, "the objective 'prefill_time' is measured in"),
    ],
)
def test_what_cannot_be_run_is_refused_before_a_checkpoint_is_opened(spec, changes, reason):
    made = spec(**changes)
    with pytest.raises(ConfigurationError, match=reason):
        Evaluator(made)
    assert "_opened" not in vars(made.space)


def test_an_engine_that_is_not_installed_is_named_with_how_to_get_it(spec, monkeypatch):
    monkeypatch.setattr("heterosis.plugins.export.bitsandbytes.find_spec", lambda _name: None)
    with pytest.raises(ConfigurationError, match=r"bitsandbytes is not installed: pip install 'heterosis\[bits"):
        Evaluator(spec("bitsandbytes"))
    with pytest.raises(ConfigurationError, match="cannot be verified: bitsandbytes is not installed"):
        BitsandbytesExporter().load(Path("nowhere"))
    Evaluator(spec("bitsandbytes", objectives=()))
