import json

import pytest
from heterosis.core.errors import ConfigurationError
from heterosis.plugins.tasks.multiple_choice import MultipleChoice
from hypothesis import given
from hypothesis import strategies as st

GOOD = {"prompt": "2+2=", "choices": [" 3", " 4", " 5000"], "answer": 1}


@pytest.mark.parametrize(
    ("figures", "score"),
    [
        ((-2.0, -1.0, -3.0), 1.0),
        ((-1.0, -2.0, -3.0), 0.0),
        ((-1.0, -1.0, -3.0), 0.5),
        ((-1.0, -1.0, -1.0), 1 / 3),
        ((-1.0, -2.0, -1.0), 0.0),
    ],
)
def test_the_likeliest_choice_must_be_the_right_one_and_ties_are_shared(write, scripted, figures, score):
    task = MultipleChoice.open(write(GOOD))
    model = scripted(choices=dict(zip(GOOD["choices"], figures, strict=True)))
    assert task.score(model, task.items) == [score]


def test_figures_may_be_taken_per_character(write, scripted):
    path = write({**GOOD, "answer": 2})
    model = scripted(choices={" 3": -3.0, " 4": -3.0, " 5000": -5.0})
    plain, normalised = MultipleChoice.open(path), MultipleChoice.open(path, normalize="characters")
    assert plain.score(model, plain.items) == [0.0]
    assert normalised.score(model, normalised.items) == [1.0]
    assert plain.rule != normalised.rule


def test_scores_follow_the_items_that_are_asked_not_the_file(write, scripted):
    lines = [{"id": name, "prompt": name, "choices": [f"{name} yes", f"{name} no"], "answer": 0} for name in "abc"]
    task = MultipleChoice.open(write(*lines))
    figures = {"a yes": -1, "a no": -2, "b yes": -2, "b no": -1, "c yes": -1, "c no": -1}
    assert task.score(scripted(choices=figures), [task.items[2], task.items[0]]) == [0.5, 1.0]
    assert [item.id for item in task.items] == ["a", "b", "c"]


def test_an_answer_may_be_given_as_text(write):
    by_text, by_position = (MultipleChoice.open(write({**GOOD, "answer": answer})) for answer in (" 4", 1))
    assert by_text.items == by_position.items


@given(right=st.integers(0, 3), count=st.integers(2, 4))
def test_a_model_without_opinion_scores_as_chance_wherever_the_answer_stands(tmp_path_factory, right, count):
    path = tmp_path_factory.mktemp("chance") / "task.jsonl"
    choices = [str(number) for number in range(count)]
    path.write_text(json.dumps({"prompt": "?", "choices": choices, "answer": min(right, count - 1)}))
    task = MultipleChoice.open(path)

    class Indifferent:
        def choice_log_likelihoods(self, requests):
            return [[-1.5] * len(continuations) for _, continuations in requests]

    assert task.score(Indifferent(), task.items) == [1 / count]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"answer": 3}, "position, 0 to 2"),
        ({"answer": -1}, "position, 0 to 2"),
        ({"answer": True}, "position, 0 to 2"),
        ({"answer": "4"}, "one of .*' 4'"),
        ({"answer": 1.0}, "position, 0 to 2"),
        ({"choices": [" 3"]}, "two or more different"),
        ({"choices": [" 3", " 3"]}, "two or more different"),
        ({"choices": [" 3", 4]}, "list of texts"),
        ({"choices": [" 3", ""]}, "choice is empty"),
        ({"prompt": ""}, "prompt or a choice is empty"),
        ({"prompt": 5}, "`prompt` must be text, not 5"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(write, change, complaint):
    with pytest.raises(ConfigurationError, match=f"task.jsonl, line 2.*{complaint}"):
        MultipleChoice.open(write(GOOD, {**GOOD, **change}))


def test_an_unknown_option_is_named_with_the_nearest(write):
    with pytest.raises(ConfigurationError, match=r"unknown key 'normalise'. Did you mean 'normalize'"):
        MultipleChoice.open(write(GOOD), normalise="characters")
    with pytest.raises(ConfigurationError, match=r"unknown normalize 'character'. Did you mean 'characters'"):
        MultipleChoice.open(write(GOOD), normalize="character")
