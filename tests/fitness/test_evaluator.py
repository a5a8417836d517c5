"""The evaluator measures what one would by hand, and refuses what a plugin cannot have meant."""

import math

import numpy as np
import pytest
import torch
from heterosis.core.contracts import Objective
from heterosis.core.errors import EvaluationError, MaterialiseError
from heterosis.core.estimate import Estimate
from heterosis.core.genome import Genome
from heterosis.core.merge_space import Merge
from heterosis.core.space import Space
from heterosis.core.study_spec import ObjectiveSpec, StudySpec, TaskSpec
from heterosis.fitness.evaluator import Evaluator
from heterosis.plugins.tasks.multiple_choice import MultipleChoice
from transformers import AutoModelForCausalLM

ACCURACY = ObjectiveSpec("accuracy", "maximize", ("words",))
BYTES = ObjectiveSpec("bytes", "minimize")
HALF = Genome({"weight/one": 0.5, "weight/two": 0.5})


@pytest.fixture
def spec(tmp_path, checkpoints, choice_items, write_lines):
    """A study of two fine-tunes; `words` has items for search and test, `held` for the test only."""
    write_lines(tmp_path / "search.jsonl", choice_items(12))
    write_lines(tmp_path / "test.jsonl", choice_items(10, first=12))
    write_lines(tmp_path / "held.jsonl", choice_items(6, first=30))

    def make(kind="multiple_choice", objectives=(ACCURACY, BYTES), method="task_arithmetic", **parameters):
        tasks = {
            "words": TaskSpec(kind, files={"search": "search.jsonl", "test": "test.jsonl"}),
            "held": TaskSpec("multiple_choice", files={"test": "held.jsonl"}),
        }
        sources = [str(checkpoints / name) for name in ("one", "two")]
        space = Space(str(checkpoints / "base"), sources, Merge(method, **(parameters or {"weight": (0.0, 1.5)})))
        return StudySpec("tiny", space, tasks, objectives, optimizer="nsga2", folder=tmp_path)

    return make


def by_hand(directory, items, tokenizer, alone):
    """The responses of a checkpoint, with nothing but transformers."""
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    scores = []
    for item in items:
        prompt = tokenizer(item["prompt"])["input_ids"]
        rests = [tokenizer(choice, add_special_tokens=False)["input_ids"] for choice in item["choices"]]
        scores.append(float(np.argmax([alone(model, prompt, rest) for rest in rests]) == item["answer"]))
    return scores


@pytest.mark.parametrize("name", ["base", "one", "two"])
def test_measured_is_what_one_computes_by_hand(name, spec, checkpoints, choice_items, tokenizer, alone):
    evaluator = Evaluator(spec())
    found = evaluator.evaluate(evaluator.spec.space.references()[name], "search")
    scores = by_hand(checkpoints / name, choice_items(12), tokenizer, alone)
    assert found.scores == {"words": tuple(scores)}
    error = np.std(scores, ddof=1) / math.sqrt(12)
    assert found.measured["words"] == found.measured["accuracy words"]
    assert found.measured["words"].mean == pytest.approx(np.mean(scores))
    assert found.measured["words"].standard_error == pytest.approx(error)
    nbytes = (checkpoints / name / "model.safetensors").stat().st_size
    assert found.measured["bytes"].mean == pytest.approx(nbytes, rel=0.05)
    assert found.measured["bytes"].standard_error == 0.0
    assert set(found.seconds) == {"merge", "score"}


def test_an_objective_is_measured_where_all_its_tasks_have_items(spec):
    both = ObjectiveSpec("accuracy", "maximize", ("words", "held"), "both")
    evaluator = Evaluator(spec(objectives=(ACCURACY, both, BYTES)))
    recipe = evaluator.spec.space.references()["one"]
    labels = {stage: set(evaluator.evaluate(recipe, stage).measured) for stage in evaluator.items}
    assert labels == {
        "search": {"words", "accuracy words", "bytes"},
        "validation": {"bytes"},
        "test": {"words", "held", "accuracy words", "both", "bytes"},
    }


def test_what_was_evaluated_before_leaves_no_trace(spec):
    evaluator = Evaluator(spec())
    space = evaluator.spec.space
    recipes = [space.decode(HALF), space.references()["one"], space.references()["uniform average"]]
    alone = [Evaluator(spec()).evaluate(recipe, "search").scores for recipe in recipes]
    assert [evaluator.evaluate(recipe, "search").scores for recipe in recipes * 2] == alone * 2


def test_weights_that_are_not_finite_are_refused_and_the_next_candidate_is_right(spec):
    evaluator = Evaluator(spec(method="linear", weight=(-1.0, 1.0)))
    space = evaluator.spec.space
    expected = evaluator.evaluate(space.decode(HALF), "search").scores
    nothing = Genome({"weight/one": 0.5, "weight/two": -0.5})
    with pytest.raises(MaterialiseError, match="not finite after linear"):
        evaluator.evaluate(space.decode(nothing), "search")
    assert evaluator.evaluate(space.decode(HALF), "search").scores == expected


def test_scores_that_are_known_are_only_measured(spec, monkeypatch):
    evaluator = Evaluator(spec())
    recipe = evaluator.spec.space.references()["one"]
    found = evaluator.evaluate(recipe, "test")
    fresh = Evaluator(spec())
    monkeypatch.setattr(MultipleChoice, "score", None)
    assert fresh.measure(recipe, "test", found.scores) == found.measured


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        (lambda n: [0.5] * (n - 1), "'words' gave 11 scores for 12 items"),
        (lambda n: [0.5] * (n + 1), "'words' gave 13 scores for 12 items"),
        (lambda n: [0.5] * (n - 1) + [math.nan], "scored item 'q11' nan"),
        (lambda n: [1.5] + [0.5] * (n - 1), "scored item 'q0' 1.5; a score is between 0 and 1"),
        (lambda n: [-0.1] + [0.5] * (n - 1), "scored item 'q0' -0.1"),
        (lambda n: [math.inf] * n, "scored item 'q0' inf"),
    ],
)
def test_scores_that_a_task_cannot_have_meant_are_refused(scores, said, spec, install_plugin):
    class Odd(MultipleChoice):
        def score(self, model, items):
            return scores(len(items))

    install_plugin("tasks", "odd", Odd)
    evaluator = Evaluator(spec("odd"))
    with pytest.raises(EvaluationError, match=said):
        evaluator.evaluate(evaluator.spec.space.references()["base"], "search")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_an_objective_that_is_not_finite_is_refused(value, spec, install_plugin):
    class Lost(Objective):
        name = "lost"

        def measure(self, measured):
            return Estimate(value, 0.0, 1)

    install_plugin("objectives", "lost", Lost)
    evaluator = Evaluator(spec(objectives=(ACCURACY, ObjectiveSpec("lost", "minimize"))))
    with pytest.raises(EvaluationError, match=f"lost is {value}"):
        evaluator.evaluate(evaluator.spec.space.references()["base"], "search")
