"""Estimates: mean, standard error and Wilson's interval; seeds: one stream for each purpose."""

import math

import numpy as np
import pytest
from heterosis.core.errors import did_you_mean
from heterosis.core.estimate import Estimate
from heterosis.core.seeds import derived_seed
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

SCORES = st.lists(st.floats(0, 1), min_size=2, max_size=30)


@given(SCORES)
@settings(deadline=None, max_examples=50)
def test_mean_and_standard_error_are_the_textbooks(scores):
    found = Estimate.from_scores(scores)
    assert found.mean == pytest.approx(np.mean(scores))
    assert found.standard_error == pytest.approx(stats.sem(scores), abs=1e-12)
    assert found.items == len(scores)


def test_one_score_has_no_error_and_none_has_no_mean():
    assert math.isnan(Estimate.from_scores([0.5]).standard_error)
    with pytest.raises(ValueError, match="no scores"):
        Estimate.from_scores([])


@given(st.integers(0, 40), st.integers(1, 40), st.sampled_from([0.8, 0.95, 0.99]))
@settings(deadline=None, max_examples=50)
def test_the_interval_of_a_share_is_wilsons(right, wrong, confidence):
    count = right + wrong
    p = right / count
    found = Estimate(p, math.sqrt(p * (1 - p) / count), count).interval(True, confidence)
    expected = stats.binomtest(right, count).proportion_ci(confidence, method="wilson")
    assert found == pytest.approx((expected.low, expected.high), abs=1e-9)


@given(st.floats(0, 1), st.floats(0, 0.5) | st.just(float("nan")), st.integers(1, 99))
@settings(deadline=None, max_examples=50)
def test_every_interval_lies_in_the_range_of_shares_and_holds_the_mean(mean, error, items):
    low, high = Estimate(mean, error, items).interval(share=True)
    assert 0 <= low <= high <= 1
    assert low - 1e-9 <= mean <= high + 1e-9


@pytest.mark.parametrize("score", [0.1, 0.3, 0.7])
def test_equal_scores_have_the_interval_of_no_error_whatever_rounding_leaves_of_it(score):
    found = Estimate.from_scores([score] * 7)
    assert found.interval(True) == pytest.approx(Estimate(score, 0.0, 7).interval(True))


@given(st.floats(1, 1e9), st.floats(0.01, 1e6), st.sampled_from([0.8, 0.95, 0.99]))
@settings(deadline=None, max_examples=50)
def test_the_interval_of_any_other_figure_is_the_normal_one(mean, error, confidence):
    expected = stats.norm(mean, error).interval(confidence)
    assert Estimate(mean, error, 30).interval(False, confidence) == pytest.approx(expected)


def test_an_exact_figure_has_no_width_and_an_unknown_error_no_end():
    assert Estimate(538_090_624.0, 0.0, 1).interval(share=False) == (538_090_624.0, 538_090_624.0)
    assert Estimate(17.2, math.nan, 1).interval(share=False) == (-math.inf, math.inf)


def test_the_mean_of_estimates_counts_each_the_same():
    found = Estimate.mean_of([Estimate(0.2, 0.03, 10), Estimate(0.6, 0.04, 90)])
    assert (found.mean, found.standard_error, found.items) == (pytest.approx(0.4), pytest.approx(0.025), 100)


def test_every_purpose_has_a_seed_of_its_own_that_stays():
    seeds = [derived_seed(seed, *purpose) for seed in (0, 7) for purpose in ((), ("a",), ("b",), ("a", 1), ("a", 2))]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert derived_seed(7, "optimizer") == derived_seed(7, "optimizer")
    assert derived_seed(7, "merge", "model.norm.weight") == 1645663279, "recipes would build other models than they did"


def test_the_nearest_name_is_suggested_and_all_are_listed():
    assert did_you_mean("tie", ["ties", "slerp"]) == "Did you mean 'ties'? Valid names: slerp, ties."
    assert did_you_mean("zzz", ["ties", "slerp"]) == "Valid names: slerp, ties."
    assert did_you_mean("zzz", []) == "There are none."
