import pytest
import sacrebleu
import torch
from heterosis.core.errors import ConfigurationError
from heterosis.core.metrics import characters, chrf, encoded, words_chrf
from hypothesis import example, given
from hypothesis import strategies as st

texts = st.text(alphabet="ab .,", max_size=14)
batches = st.lists(st.tuples(texts, st.lists(texts, min_size=1, max_size=3)), min_size=1, max_size=5)
FIRST = [("a cat sat.", ["the cat sat.", "a cat"]), ("", ["x"]), ("x", [""]), ("ab", ["cd"])]


def _cut(batch, cut):
    return encoded([cut(text) for text, _ in batch], [[cut(text) for text in group] for _, group in batch])


@example(FIRST)
@given(batches)
def test_chrf_is_sacrebleus(batch):
    expected = [sacrebleu.sentence_chrf(text, group).score for text, group in batch]
    assert (100 * chrf(*_cut(batch, characters))).tolist() == pytest.approx(expected, rel=1e-12, abs=1e-12)


@example(FIRST, 2, 2)
@given(batches, st.integers(1, 3), st.integers(1, 3))
def test_chrf_with_words_is_sacrebleus(batch, word_order, beta):
    expected = [sacrebleu.sentence_chrf(t, group, word_order=word_order, beta=beta).score for t, group in batch]
    found = chrf(*_cut(batch, characters), words=_cut(batch, words_chrf), word_order=word_order, beta=beta)
    assert (100 * found).tolist() == pytest.approx(expected, rel=1e-12, abs=1e-12)


@given(batches)
def test_an_answer_scores_the_same_in_any_company(batch):
    assert chrf(*_cut(batch, characters)).tolist() == [chrf(*_cut([one], characters)).item() for one in batch]


def test_orders_and_beta_must_be_positive():
    sequences = _cut(FIRST, characters)
    for wrong in ({"order": 0}, {"word_order": 0}, {"beta": 0.0}):
        with pytest.raises(ConfigurationError, match="all must be positive"):
            chrf(*sequences, **wrong)


def test_no_tensor_is_made_elsewhere_than_where_the_ids_are():
    sequences = _cut(FIRST, characters)
    torch.set_default_device("meta")
    try:
        assert chrf(*sequences, words=sequences).device.type == "cpu"
    finally:
        torch.set_default_device(None)
