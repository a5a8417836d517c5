import pytest
from heterosis.core.errors import ConfigurationError
from heterosis.plugins.tasks.exact_match import ExactMatch


def _score(path, scripted, text, **options):
    task = ExactMatch.open(path, **options)
    model = scripted(texts={"Capital of Italy:": text})
    return task.score(model, task.items)[0]


@pytest.mark.parametrize(
    ("text", "score"), [(" Rome", 1.0), ("Roma\n", 1.0), ("rome", 0.0), ("Rome.", 0.0), ("", 0.0), ("In Rome", 0.0)]
)
def test_the_text_must_be_one_of_the_answers(write, scripted, text, score):
    path = write({"prompt": "Capital of Italy:", "answer": ["Rome", "Roma"]})
    assert _score(path, scripted, text) == score


def test_case_may_be_ignored(write, scripted):
    path = write({"prompt": "Capital of Italy:", "answer": "ROME"})
    assert _score(path, scripted, "rome") == 0.0
    assert _score(path, scripted, "rome", ignore_case=True) == 1.0


def test_an_accent_may_be_written_apart(write, scripted):
    path = write({"prompt": "Capital of Italy:", "answer": "perché"})
    assert _score(path, scripted, "perche\u0301") == 1.0


@pytest.mark.parametrize(
    ("answer", "text", "score"),
    [
        ("1,234", "1234", 1.0),
        (1234, "It is 1,234.", 1.0),
        ("3.5", "3.50", 1.0),
        (3.5, "3", 0.0),
        ("-7", "-7", 1.0),
        ("-7", "7", 0.0),
        ("17", "12 + 5 = 17", 1.0),
        ("12", "12 + 5 = 17", 0.0),
        (["7", "8"], "8", 1.0),
        ("7", "seven", 0.0),
        ("1,234.50", "They pay $1,234.50, tax included.", 1.0),
        ("-7", "It is -7 degrees (in the shade)", 1.0),
        ("3.5", "3.5% of all", 1.0),
        ("1234567", "1.234.567 abitanti", 1.0),
        ("-1,234", "-$1,234", 1.0),
    ],
)
def test_numbers_are_compared_as_numbers(write, scripted, answer, text, score):
    path = write({"prompt": "Capital of Italy:", "answer": answer})
    assert _score(path, scripted, text, numbers=True) == score


def test_the_model_is_asked_as_the_options_say_and_each_item_gets_its_own_answer(write, scripted):
    task = ExactMatch.open(
        write({"prompt": "a", "answer": "x"}, {"prompt": "b", "answer": "y"}), max_tokens=5, stop=["#"]
    )
    model = scripted(texts={"a": "x", "b": "x"})
    assert task.score(model, task.items[::-1]) == [0.0, 1.0]
    assert model.asked == [(["b", "a"], 5, ("#",))]
    assert task.rule["max_tokens"] == 5
    assert task.rule["stop"] == ["#"]


@pytest.mark.parametrize(
    ("line", "options", "complaint"),
    [
        ({"prompt": "a"}, {}, "line 1: `answer` is missing"),
        ({"prompt": "a", "answer": ""}, {}, "line 1: the prompt or an answer is empty"),
        ({"prompt": "a", "answer": []}, {}, "line 1: the prompt or an answer is empty"),
        ({"prompt": "", "answer": "b"}, {}, "line 1: the prompt or an answer is empty"),
        ({"prompt": "a", "answer": None}, {}, "line 1: `answer` must be text"),
        ({"prompt": "a", "answer": True}, {}, "line 1: `answer` must be text"),
        ({"prompt": "a", "answer": "seven"}, {"numbers": True}, "line 1: .*must hold one number, not 'seven'"),
        ({"prompt": "a", "answer": "1 2"}, {"numbers": True}, "must hold one number"),
        ({"prompt": "a", "answer": "b"}, {"max_token": 5}, "unknown key 'max_token'. Did you mean 'max_tokens'"),
        ({"prompt": "a", "answer": "b"}, {"max_tokens": 0}, "max_tokens must be a whole number of at least 1"),
        ({"prompt": "a", "answer": "b"}, {"stop": ["\n", ""]}, "a stop text is empty"),
        ({"prompt": "a", "answer": "b"}, {"ignore_case": "yes"}, "ignore_case must be true or false"),
    ],
)
def test_what_cannot_be_used_is_named(write, line, options, complaint):
    with pytest.raises(ConfigurationError, match=complaint):
        ExactMatch.open(write(line), **options)
