import math

import pytest
from heterosis.core.errors import ConfigurationError, EvaluationError
from heterosis.plugins.tasks.perplexity import Perplexity, cut
from hypothesis import given
from hypothesis import strategies as st

TEXT = "the quick brown fox jumps over the lazy dog " * 20


def test_the_response_is_the_inverse_perplexity_and_the_summary_the_perplexity(write, scripted):
    task = Perplexity.open(write(TEXT, name="text.txt"), characters=300)
    assert len(task.items) == 3
    surprises = [1.0, 2.0, 3.0]
    figures = {item.data["text"]: (-s * 50, 50) for item, s in zip(task.items, surprises, strict=True)}
    scores = task.score(scripted(figures=figures), task.items)
    assert scores == pytest.approx([math.exp(-s) for s in surprises])
    summary = task.summarise(task.items, scores)
    assert summary.mean == pytest.approx(math.exp(2.0))
    assert summary.standard_error == pytest.approx(math.exp(2.0) / math.sqrt(3))
    assert summary.items == 3


def test_a_hopeless_model_has_a_finite_perplexity(write, scripted):
    task = Perplexity.open(write(TEXT, name="text.txt"))
    scores = task.score(scripted(figures={item.data["text"]: (-1e7, 10) for item in task.items}), task.items)
    assert 0 < scores[0] <= 1
    assert math.isfinite(task.summarise(task.items, scores).mean)


def test_an_id_tells_position_and_content(write):
    task = Perplexity.open(write("one two " * 100, name="text.txt"), characters=400)
    assert [item.id.split("-")[0] for item in task.items] == ["0", "1"]
    again = Perplexity.open(write("one two " * 50 + "one six " * 50, name="text.txt"), characters=400)
    assert [a.id == b.id for a, b in zip(task.items, again.items, strict=True)] == [True, False]


@given(text=st.text(alphabet="ab \n", max_size=400), characters=st.integers(1, 60))
def test_pieces_join_to_the_text_and_are_near_the_size(text, characters):
    pieces = cut(text, characters)
    assert "".join(pieces) == text
    assert all(pieces) or not text
    assert all(len(piece) <= 2 * characters for piece in pieces)


def test_cuts_fall_where_space_begins_if_there_is_any_near():
    assert all(piece.startswith(" ") for piece in cut(TEXT.strip(), 100)[1:])
    assert [len(piece) for piece in cut("漢" * 100, 30)] == [33, 33, 34]


def test_a_piece_without_a_token_to_foresee_is_refused(write, scripted):
    task = Perplexity.open(write("ab", name="text.txt"))
    with pytest.raises(EvaluationError, match="'ab' is too short"):
        task.score(scripted(figures={"ab": (0.0, 0)}), task.items)


@pytest.mark.parametrize("content", ["", " \n "])
def test_a_file_without_text_is_an_empty_task(write, content):
    with pytest.raises(ConfigurationError, match="empty task"):
        Perplexity.open(write(content, name="text.txt"))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"character": 5}, "unknown key 'character'. Did you mean 'characters'"),
        ({"characters": 0}, "characters must be a whole number"),
        ({"characters": "many"}, "characters must be a whole number"),
    ],
)
def test_options_that_make_no_sense_are_named(write, options, complaint):
    with pytest.raises(ConfigurationError, match=complaint):
        Perplexity.open(write(TEXT, name="text.txt"), **options)
