"""Statistics of several sources become one calibration: a mixture of their inputs."""

from __future__ import annotations

import math

import pytest
import torch
from heterosis.core.errors import MaterialiseError
from heterosis.core.quantization.calibration import calibration_of
from hypothesis import given
from hypothesis import strategies as st

SIZE = 5


def inputs(seed, tokens=7):
    return torch.randn(tokens, SIZE, generator=torch.Generator().manual_seed(seed))


def gram(rows):
    return rows.T @ rows / len(rows)


def mixed(sources, shares):
    return calibration_of([gram(rows) for rows in sources], [rows.abs().amax(0) for rows in sources], shares)


def test_equal_shares_are_the_statistics_of_both_texts_together():
    one, two = inputs(1), inputs(2)
    found = mixed([one, two], [0.3, 0.3])
    both = torch.cat([one, two])
    torch.testing.assert_close(found.gram, gram(both))
    assert torch.equal(found.maxima, both.abs().amax(0))
    torch.testing.assert_close(found.importance, (both**2).mean(0))


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=4), st.floats(0.1, 10))
def test_only_proportions_of_magnitudes_count(shares, factor):
    sources = [inputs(seed) for seed in range(len(shares))]
    first = mixed(sources, shares)
    assert torch.equal(first.gram, first.gram.T)
    assert first.gram.dtype == torch.float32
    second = mixed(sources, [-share * factor for share in shares])
    torch.testing.assert_close(first.gram, second.gram)
    order = list(range(len(shares)))[::-1]
    turned = mixed([sources[place] for place in order], [shares[place] for place in order])
    torch.testing.assert_close(first.gram, turned.gram)
    weights = [abs(share) for share in shares] if any(shares) else [1.0] * len(shares)
    expected = sum(w / math.fsum(weights) * gram(rows) for w, rows in zip(weights, sources, strict=True))
    torch.testing.assert_close(first.gram, expected)


def test_sources_without_a_share_do_not_count():
    one, two = inputs(1), inputs(2) * 100
    found = mixed([one, two], [1.0, 0.0])
    torch.testing.assert_close(found.gram, gram(one))
    assert torch.equal(found.maxima, one.abs().amax(0))
    unknown = calibration_of([gram(one), gram(two)], [one.abs().amax(0), None], [1.0, 0.0])
    assert torch.equal(unknown.maxima, found.maxima)


def test_maxima_are_unknown_where_those_of_a_source_are():
    one, two = inputs(1), inputs(2)
    assert calibration_of([gram(one), gram(two)], [one.abs().amax(0), None], [1.0, 1.0]).maxima is None


def test_shares_that_are_all_zero_count_the_same():
    sources = [inputs(1), inputs(2)]
    assert torch.equal(mixed(sources, [0.0, 0.0]).gram, mixed(sources, [1.0, 1.0]).gram)


@pytest.mark.parametrize("sizes", [(5, 4), ()])
def test_statistics_that_do_not_belong_together(sizes):
    grams = [torch.eye(size) for size in sizes]
    with pytest.raises(MaterialiseError, match="one architecture"):
        calibration_of(grams, [None] * len(grams), [1.0] * len(grams))
