from collections import Counter

import pytest
import torch
from heterosis.core.errors import ConfigurationError
from heterosis.core.metrics import Sequences, encoded, exact_match, token_f1
from hypothesis import given
from hypothesis import strategies as st

tokens = st.lists(st.sampled_from("abc"), max_size=6)
batches = st.lists(st.tuples(tokens, st.lists(tokens, min_size=1, max_size=3)), min_size=1, max_size=5)


def _encoded(batch):
    return encoded([answer for answer, _ in batch], [group for _, group in batch])


def _squad_f1(answer, reference):
    """As the script of SQuAD 2.0 has it."""
    shared = sum((Counter(answer) & Counter(reference)).values())
    if not answer or not reference:
        return float(answer == reference)
    if shared == 0:
        return 0.0
    precision, recall = shared / len(answer), shared / len(reference)
    return 2 * precision * recall / (precision + recall)


@given(batches)
def test_f1_is_squads(batch):
    expected = [max(_squad_f1(answer, reference) for reference in group) for answer, group in batch]
    assert token_f1(*_encoded(batch)).tolist() == pytest.approx(expected, rel=1e-12)


@given(batches)
def test_a_match_is_equality_with_a_reference(batch):
    assert exact_match(*_encoded(batch)).tolist() == [float(answer in group) for answer, group in batch]


@pytest.mark.parametrize("metric", [exact_match, token_f1])
def test_what_stands_in_the_padding_is_not_read(metric):
    hypotheses, references = _encoded([(["a"], [["a"], ["b", "a", "b"]]), (["a", "b"], [["b"]])])
    expected = metric(hypotheses, references)
    dirty = [Sequences(s.ids.masked_fill(~s.valid(), 7), s.lengths) for s in (hypotheses, references)]
    assert torch.equal(metric(*dirty), expected)
    assert expected.tolist()[0] == 1.0


@pytest.mark.parametrize("metric", [exact_match, token_f1])
def test_no_answers_have_no_scores(metric):
    assert metric(*encoded([], [])).tolist() == []


@pytest.mark.parametrize(
    ("hypotheses", "references", "complaint"),
    [
        (([[1]], [1]), ([[[1]], [[1]]], [[1], [-1]]), "hypotheses must be"),
        (([[1], [1]], [1, 1]), ([[[1]], [[1]]], [[1], [-1]]), "hypothesis 1 has no reference"),
        (([[1]], [-1]), ([[[1]]], [[1]]), "a hypothesis is absent"),
        (([[1]], [2]), ([[[1]]], [[1]]), "length is not between -1 and 1"),
        (([[1]], [[1]]), ([[[1]]], [[1]]), "need lengths of shape"),
    ],
)
def test_shapes_that_do_not_fit_are_named(hypotheses, references, complaint):
    with pytest.raises(ConfigurationError, match=complaint):
        token_f1(*(Sequences(*map(torch.tensor, pair)) for pair in (hypotheses, references)))
