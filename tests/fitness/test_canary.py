"""The canary: the same figures from every worker that is in order, others from one that is not."""

import json
import math

import pytest
import torch
from heterosis.core.merge_space import Merge
from heterosis.core.space import Space
from heterosis.core.study_spec import ObjectiveSpec, StudySpec, TaskSpec
from heterosis.fitness.canary import TEXTS, canary, canary_values, texts_of
from heterosis.fitness.canary_distance import TOLERANCES, agrees, distance
from heterosis.fitness.evaluator import Evaluator
from heterosis.fitness.transformers_model import TransformersModel
from heterosis.testing.checkpoints import write_tiny
from hypothesis import given
from hypothesis import strategies as st

FIGURES = st.lists(st.floats(-500.0, -0.5), min_size=1, max_size=8)


@pytest.fixture
def evaluator(tmp_path, checkpoints, choice_items, write_lines):
    """Makes evaluators of fine-tunes, with two tasks; the second has two items only."""
    write_lines(tmp_path / "many.jsonl", choice_items(12))
    write_lines(tmp_path / "few.jsonl", choice_items(2, first=20))
    tasks = {name: TaskSpec("multiple_choice", files={"search": f"{name}.jsonl"}) for name in ("many", "few")}

    def make(names=("one", "two"), folder=checkpoints, tasks=tasks, **changes):
        space = Space(str(folder / "base"), [str(folder / name) for name in names], Merge("task_arithmetic"))
        objectives = (ObjectiveSpec("accuracy", "maximize", tuple(tasks)[:1]),)
        return Evaluator(StudySpec("tiny", space, tasks, objectives, folder=tmp_path, **changes))

    return make


def test_it_is_the_uniform_average_asked_a_few_texts(evaluator):
    made = evaluator()
    values = canary_values(made)
    assert len(values) == TEXTS
    assert all(math.isfinite(value) and value < 0 for value in values)
    average = made.spec.space.references()["uniform average"]
    assert canary(made) == average
    assert list(values) == made.log_likelihoods(average, texts_of(made))
    assert values != tuple(made.log_likelihoods(made.spec.space.references()["base"], texts_of(made)))
    assert canary_values(made) == values, "whatever was evaluated between"
    assert canary_values(evaluator()) == values, "another process of the same kind"


def test_a_single_source_is_the_canary_itself(evaluator):
    made = evaluator(names=["one"])
    assert canary(made) == made.spec.space.references()["one"]
    assert len(canary_values(made)) == TEXTS


def test_the_tasks_take_turns(evaluator, choice_items):
    texts = texts_of(evaluator())
    many, few = choice_items(12), choice_items(2, first=20)
    expected = [many[0], few[0], many[1], few[1], *many[2:6]]
    assert len(texts) == TEXTS
    for text, item in zip(texts, expected, strict=True):
        assert item["prompt"] in text
        assert text.startswith(item["choices"][0])


def test_long_texts_and_any_script_fit(evaluator, tmp_path, write_lines):
    items = [
        {"id": str(place), "prompt": letter * 500, "choices": ["yes", "no"], "answer": 0}
        for place, letter in enumerate("aé漢🙂")
    ]
    write_lines(tmp_path / "long.jsonl", items)
    made = evaluator(tasks={"long": TaskSpec("multiple_choice", files={"search": "long.jsonl"})})
    assert len(canary_values(made)) == 4
    assert all(len(text.encode()) <= 96 for text in texts_of(made))


def test_a_model_that_nobody_can_build_says_nothing(evaluator, tmp_path, checkpoints, monkeypatch):
    made = evaluator()
    for parameter in made._live.model.parameters():
        parameter.data.fill_(math.nan)
    monkeypatch.setattr(made._live, "materialise", lambda plan: 0)
    assert canary_values(made) == ()


def test_another_checkpoint_does_not_agree(evaluator, tmp_path, checkpoints):
    write_tiny(tmp_path / "other" / "base")
    write_tiny(tmp_path / "other" / "one", seed=1, change=0.3)
    write_tiny(tmp_path / "other" / "two", seed=5, change=0.3)
    values, other = canary_values(evaluator()), canary_values(evaluator(folder=tmp_path / "other"))
    for dtype in TOLERANCES:
        assert not agrees(other, values, dtype)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_rounding_in_its_own_dtype_agrees(dtype, evaluator):
    made = evaluator()
    values = canary_values(made)
    texts = texts_of(made)
    model, tokenizer = made._live.model, made._model.tokenizer
    exact = [figure for figure, _ in TransformersModel(model.double(), tokenizer).text_log_likelihoods(texts)]
    rounded = model.to(getattr(torch, dtype))
    for batch_tokens in (None, 1, 40):
        again = [
            figure for figure, _ in TransformersModel(rounded, tokenizer, batch_tokens).text_log_likelihoods(texts)
        ]
        assert agrees(again, exact, dtype)
    assert agrees(values, exact, "float32")
    if dtype != "float32":
        assert not agrees(again, exact, "float32"), "coarser arithmetic than the others'"


@given(FIGURES, st.sampled_from(sorted(TOLERANCES)), st.floats(0.0, 3.0))
def test_the_tolerance_is_relative_to_the_size_of_the_whole(figures, dtype, times):
    error = times * TOLERANCES[dtype]
    changed = [figure * (1 + error) for figure in figures]
    assert distance(changed, figures) == pytest.approx(error, rel=1e-6, abs=1e-12)
    if not 0.99 < times < 1.01:
        assert agrees(changed, figures, dtype) == (times < 1)


@given(FIGURES)
def test_what_has_no_fellow_or_is_not_finite_does_not_agree(figures):
    assert agrees(figures, figures, "float32")
    assert not agrees(figures[1:], figures, "bfloat16")
    assert not agrees([], figures, "bfloat16")
    assert not agrees([math.nan, *figures[1:]], figures, "bfloat16")
    assert not agrees([-math.inf, *figures[1:]], figures, "bfloat16")


def test_silence_agrees_with_silence():
    assert agrees([], [], "bfloat16")
    assert agrees([0.0], [0.0], "float32")
    assert not agrees([-1.0], [0.0], "float32")
    assert not agrees([-1.0 - 1e-4], [-1.0], "int4"), "of an unknown dtype the strictest is asked"


def test_texts_are_found_wherever_an_item_keeps_them(evaluator):
    made = evaluator()
    data = {"b": ["two", {"c": "three"}], "a": "one", "n": 4, "none": None}
    group = made.items["search"]["many"]
    item = type(group.items[0])("x", data)
    object.__setattr__(group, "items", (item,))
    made.items = {**made.items, "search": {"many": group}}
    assert texts_of(made) == ["one two three"]
    json.dumps(list(canary_values(made)))
