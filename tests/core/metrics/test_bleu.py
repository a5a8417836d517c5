import warnings

import pytest
import sacrebleu
import torch
from heterosis.core.errors import ConfigurationError
from heterosis.core.metrics import SMOOTHINGS, encoded, sentence_bleu
from hypothesis import example, given
from hypothesis import strategies as st
from nltk.translate.bleu_score import sentence_bleu as nltk_bleu

tokens = st.lists(st.sampled_from("abcd"), max_size=9)
question = st.tuples(tokens, st.lists(tokens, min_size=1, max_size=3))
batches = st.lists(question, min_size=1, max_size=5)
FIRST = [(list("abcab"), [list("abcd"), list("cab")]), (["a"], [["a", "b"]]), ([], [["a"]]), (["a"], [[]])]


def _bleu(batch, **options):
    return sentence_bleu(*encoded([answer for answer, _ in batch], [group for _, group in batch]), **options)


@example(FIRST, "exp", True)
@example(FIRST, "add-k", False)
@given(batches, st.sampled_from(sorted(SMOOTHINGS)), st.booleans())
def test_it_is_sacrebleus(batch, smoothing, effective_order):
    expected = [
        sacrebleu.sentence_bleu(
            " ".join(answer),
            [" ".join(reference) for reference in group],
            tokenize="none",
            smooth_method=smoothing,
            use_effective_order=effective_order,
        ).score
        for answer, group in batch
    ]
    found = _bleu(batch, smoothing=smoothing, effective_order=effective_order)
    assert (100 * found).tolist() == pytest.approx(expected, rel=1e-12, abs=1e-12)


@given(batches, st.sampled_from(["floor", "add-k"]), st.floats(0, 3), st.integers(1, 6))
def test_it_is_sacrebleus_with_any_value_and_order(batch, smoothing, value, order):
    metric = sacrebleu.BLEU(
        tokenize="none", smooth_method=smoothing, smooth_value=value, effective_order=True, max_ngram_order=order
    )
    expected = [metric.sentence_score(" ".join(a), [" ".join(r) for r in group]).score for a, group in batch]
    found = _bleu(batch, smoothing=smoothing, value=value, order=order)
    assert (100 * found).tolist() == pytest.approx(expected, rel=1e-12, abs=1e-12)


@example(FIRST)
@given(batches)
def test_without_smoothing_it_is_nltks(batch):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = [nltk_bleu(group, answer) for answer, group in batch]
    found = _bleu(batch, smoothing="none", effective_order=False)
    assert found.tolist() == pytest.approx(expected, rel=1e-12, abs=1e-12)


@given(batches)
def test_an_answer_scores_the_same_in_any_company(batch):
    assert _bleu(batch).tolist() == [_bleu([one]).item() for one in batch]


def test_what_makes_no_sense_is_named():
    sequences = encoded([["a"]], [[["a"]]])
    with pytest.raises(ConfigurationError, match=r"unknown smoothing 'expo'. Did you mean 'exp'"):
        sentence_bleu(*sequences, smoothing="expo")
    for wrong in ({"order": 0}, {"value": -1.0}, {"value": float("nan")}):
        with pytest.raises(ConfigurationError, match="order is at least 1, value at least 0"):
            sentence_bleu(*sequences, **wrong)


def test_no_tensor_is_made_elsewhere_than_where_the_ids_are():
    sequences = encoded([["a", "b"]], [[["a", "b"]]])
    torch.set_default_device("meta")
    try:
        assert sentence_bleu(*sequences).device.type == "cpu"
    finally:
        torch.set_default_device(None)
