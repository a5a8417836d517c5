"""Mistakes that other evaluation code has shipped, in what is asked and in how answers are read: one test each."""

import json
import random

import pytest
from heterosis.core import registry
from heterosis.core.contracts import LanguageModel
from heterosis.core.merge_space import Merge
from heterosis.core.space import Space
from heterosis.core.study_spec import ObjectiveSpec, StudySpec, TaskSpec
from heterosis.fitness.evaluator import Evaluator
from heterosis.fitness.item_sets import load_items
from heterosis.fitness.transformers_model import TransformersModel
from heterosis.storage import ItemSet
from heterosis.testing.tasks import RecordingModel

ANSWERED = {"exact_match": str, "generation": str, "graded": lambda place: 1 + place % 5}
"""What the right answer to an item looks like, for each type of task that lets the model write."""


class WrittenModel(LanguageModel):
    """Writes what a table says."""

    def __init__(self, texts):
        self.texts = texts

    def generate(self, prompts, max_tokens, stop=()):
        return [self.texts[prompt] for prompt in prompts]

    def choice_log_likelihoods(self, requests):
        raise NotImplementedError

    def text_log_likelihoods(self, texts):
        raise NotImplementedError


@pytest.fixture
def opened(tmp_path, choice_items, write_lines):
    """A task of any built-in type, with a dozen items."""

    def open_task(kind):
        lines = choice_items(12)
        if kind == "perplexity":
            path = tmp_path / "text.txt"
            path.write_text(" ".join(line["prompt"] for line in lines))
            return registry.load("tasks", kind).open(path, characters=60)
        if kind in ANSWERED:
            lines = [
                {"id": line["id"], "prompt": line["prompt"], "answer": ANSWERED[kind](place)}
                for place, line in enumerate(lines)
            ]
        options = {"max_tokens": 4} if kind in ANSWERED else {}
        return registry.load("tasks", kind).open(write_lines(tmp_path / f"{kind}.jsonl", lines), **options)

    return open_task


@pytest.mark.parametrize("kind", ["multiple_choice", "perplexity", *ANSWERED])
def test_prompts_do_not_grow_between_evaluations(kind, opened, model_of, tokenizer):
    task = opened(kind)
    rounds = []
    for seed in (1, 2, 1):  # a candidate, another one, and the first again
        recorder = RecordingModel(TransformersModel(model_of("llama", seed), tokenizer))
        rounds.append((recorder.asked, task.score(recorder, task.items)))
    assert rounds[0][0] == rounds[1][0] == rounds[2][0]
    assert rounds[0][1] == rounds[2][1]
    assert [asked[1] for asked in rounds[2][0]] == [
        item.data["text" if kind == "perplexity" else "prompt"] for item in task.items
    ]


@pytest.fixture
def study(tmp_path, checkpoints, choice_items, write_lines):
    """A study of questions in an order that the test says."""

    def make(order):
        lines = choice_items(24)
        files = {"search": "search.jsonl", "test": "test.jsonl"}
        write_lines(tmp_path / "search.jsonl", [lines[place] for place in order])
        write_lines(tmp_path / "test.jsonl", choice_items(4, first=30))
        space = Space(
            str(checkpoints / "base"), [str(checkpoints / "one")], Merge("task_arithmetic", weight=(0.0, 1.0))
        )
        accuracy = ObjectiveSpec("accuracy", "maximize", ("words",))
        tasks = {"words": TaskSpec("multiple_choice", files=files)}
        return Evaluator(StudySpec("tiny", space, tasks, (accuracy,), folder=tmp_path))

    return make


def test_responses_belong_to_items_and_not_to_places(study):
    def responses(evaluator, ids=None):
        recipe = evaluator.spec.space.references()["one"]
        found = evaluator.evaluate(recipe, "search", None if ids is None else {"words": ids})
        items = evaluator.asked("search", None if ids is None else {"words": ids})["words"].items
        return dict(zip((item.id for item in items), found.scores["words"], strict=True))

    places = list(range(24))
    evaluator = study(places)
    expected = responses(evaluator)
    assert set(expected.values()) == {0.0, 1.0}
    ids = list(expected)
    random.Random(1).shuffle(ids)
    assert responses(evaluator, ids) == expected
    assert list(responses(evaluator, ids)) == ids
    assert responses(evaluator, ids[5:9]) == {name: expected[name] for name in ids[5:9]}
    random.Random(2).shuffle(places)
    assert responses(study(places)) == expected


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (({}, {"numbers": True}), ([1.0, 0.0, 0.0], [1.0, 1.0, 0.0])),
        (({"numbers": True}, {}), ([1.0, 1.0, 0.0], [1.0, 0.0, 0.0])),
    ],
)
def test_two_ways_to_read_an_answer_are_never_mixed(tmp_path, write_lines, filters, expected):
    lines = [{"id": str(place), "prompt": f"{place}:", "answer": "7"} for place in range(3)]
    write_lines(tmp_path / "task.jsonl", lines)
    model = WrittenModel({"0:": " 7", "1:": "It is 7.", "2:": "8"})
    groups = [
        load_items(
            f"task {number}", TaskSpec("exact_match", files={"search": "task.jsonl"}, options=chosen), tmp_path, 0
        )
        for number, chosen in enumerate(filters)
    ]
    strict, loose = (group["search"] for group in groups)
    for _ in range(2):  # side by side, and again
        assert [group.task.score(model, group.items) for group in (strict, loose)] == list(expected)
    sets = [ItemSet.of(group.task.rule, group.items) for group in (strict, loose)]
    assert sets[0].item_ids == sets[1].item_ids
    assert sets[0].id != sets[1].id


@pytest.mark.parametrize(
    ("answer", "right", "wrong"),
    [
        ("1,234", ["1,234", "It is 1234.", "$1,234.00", "1,234 in all"], ["1", "234", "1.234"]),
        ("3.5", ["3.5", "3.50", "3.5%", "= 3.5."], ["3", "5", "35", "-3.5"]),
        ("-7", ["-7", "−7", "x = -7.", "-7 degrees"], ["7", "10-7", "-7.5"]),
        ("-1234.5", ["-1,234.50", "-$1,234.5"], ["1,234.5", "$1,234.5"]),
        ("1234567", ["1,234,567", "1.234.567"], ["1.234", "567"]),
    ],
)
def test_numbers_are_not_misread(tmp_path, answer, right, wrong):
    path = tmp_path / "task.jsonl"
    texts = right + wrong
    path.write_text("\n".join(json.dumps({"prompt": f"{n}:", "answer": answer}) for n in range(len(texts))))
    task = registry.load("tasks", "exact_match").open(path, numbers=True)
    scores = task.score(WrittenModel({f"{n}:": text for n, text in enumerate(texts)}), task.items)
    assert dict(zip(texts, scores, strict=True)) == dict.fromkeys(right, 1.0) | dict.fromkeys(wrong, 0.0)
