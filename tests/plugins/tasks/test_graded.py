import json
import math

import pytest
from heterosis.core.errors import ConfigurationError
from heterosis.plugins.tasks.graded import Graded
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score


def _opened(path, right, **options):
    lines = [json.dumps({"id": str(n), "prompt": f"{n}:", "answer": grade}) for n, grade in enumerate(right)]
    path.write_text("\n".join(lines))
    return Graded.open(path, **options)


def _answered(task, scripted, texts):
    model = scripted(texts={item.data["prompt"]: text for item, text in zip(task.items, texts, strict=True)})
    return task.score(model, task.items)


@pytest.mark.parametrize(
    ("text", "score"),
    [
        (" 4", 1.0),
        ("4/5", 1.0),
        ("4.0, because 2 of 3 hold", 1.0),
        ("5", 15 / 16),
        ("3", 15 / 16),
        ("1", 7 / 16),
        ("four", 0.0),
        ("", 0.0),
        ("4.5", 0.0),
        ("-4", 0.0),
        ("6", 0.0),
        ("1e999", 0.0),
    ],
)
def test_the_response_falls_with_the_squared_distance(tmp_path, scripted, text, score):
    task = _opened(tmp_path / "task.jsonl", [4])
    assert _answered(task, scripted, [text]) == pytest.approx([score], abs=2e-6)


@given(right=st.integers(0, 4))
def test_the_nearer_grade_has_the_higher_response_and_none_is_another_grades(tmp_path_factory, right):
    task = _opened(tmp_path_factory.mktemp("graded") / "task.jsonl", [right], lowest=0, highest=4)
    scores = [task._score(grade, right) for grade in range(5)]
    assert len(set(scores)) == 5
    assert all(0 <= score <= 1 for score in scores)
    order = sorted(range(5), key=lambda grade: (abs(grade - right), grade))
    assert sorted(range(5), key=lambda grade: -scores[grade]) == order


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=2, max_size=10))
def test_the_summary_is_scikit_learns_kappa(tmp_path_factory, scripted, pairs):
    right, given_grades = zip(*pairs, strict=True)
    task = _opened(tmp_path_factory.mktemp("graded") / "task.jsonl", right)
    scores = _answered(task, scripted, [f"Grade {grade}." for grade in given_grades])
    found = task.summarise(task.items, scores)
    if len({*right, *given_grades}) == 1:
        assert found.mean == 1.0
    else:
        expected = cohen_kappa_score(given_grades, right, weights="quadratic", labels=range(1, 6))
        assert found.mean == pytest.approx(expected, abs=1e-9)
    assert found.items == len(pairs)
    assert found.standard_error >= 0


def test_an_answer_without_a_grade_counts_as_the_farthest_one(tmp_path, scripted):
    right = [1, 5, 4, 2]
    task = _opened(tmp_path / "task.jsonl", right)
    silent = task.summarise(task.items, _answered(task, scripted, ["?"] * 4))
    wrong = task.summarise(task.items, _answered(task, scripted, ["5", "1", "1", "5"]))
    assert silent == wrong


def test_the_standard_error_is_the_jackknifes(tmp_path, scripted):
    right, grades = [1, 2, 3, 4, 5], [2, 2, 3, 3, 5]
    task = _opened(tmp_path / "task.jsonl", right)
    found = task.summarise(task.items, _answered(task, scripted, list(map(str, grades))))
    without = [
        cohen_kappa_score(
            grades[:i] + grades[i + 1 :], right[:i] + right[i + 1 :], weights="quadratic", labels=range(1, 6)
        )
        for i in range(5)
    ]
    mean = sum(without) / 5
    assert found.standard_error == pytest.approx(math.sqrt(4 / 5 * sum((kappa - mean) ** 2 for kappa in without)))


def test_one_item_has_no_known_error(tmp_path, scripted):
    task = _opened(tmp_path / "task.jsonl", [3])
    found = task.summarise(task.items, _answered(task, scripted, ["4"]))
    assert found.mean == 0.0
    assert math.isnan(found.standard_error)


@pytest.mark.parametrize(
    ("line", "options", "complaint"),
    [
        ({"prompt": "a", "answer": 6}, {}, "line 1: `answer` must be a whole number, 1 to 5, not 6"),
        ({"prompt": "a", "answer": "3"}, {}, "must be a whole number, 1 to 5, not '3'"),
        ({"prompt": "a", "answer": True}, {}, "must be a whole number"),
        ({"prompt": "", "answer": 3}, {}, "the prompt is empty"),
        ({"prompt": "a", "answer": 3}, {"lowest": 5}, "highest must be a whole number of at least 6"),
        ({"prompt": "a", "answer": 3}, {"highest": 1001}, "more than 1000 grades"),
        ({"prompt": "a", "answer": 3}, {"high": 4}, "unknown key 'high'. Did you mean 'highest'"),
        ({"prompt": "a", "answer": 3}, {"stop": ""}, "a stop text is empty"),
    ],
)
def test_what_cannot_be_used_is_named(write, line, options, complaint):
    with pytest.raises(ConfigurationError, match=complaint):
        Graded.open(write(line), **options)
