import numpy as np
import pytest
from heterosis.core.contracts.estimator import References
from heterosis.fitness.estimators.paired_difference import PairedDifference
from heterosis.fitness.estimators.stratified_mean import StratifiedMean

ITEMS = 300


def _error(make, references, answers, count=20):
    errors = []
    for seed in range(8):
        estimator = make(seed)
        estimator.fit_uncalibrated(references)
        seen = np.full_like(answers, np.nan)
        items = estimator.next_items(seen, count)
        np.put_along_axis(seen, items, np.take_along_axis(answers, items, axis=1), axis=1)
        errors.append(estimator.estimate(seen).mean - answers.mean(axis=1))
    return float(np.sqrt(np.square(errors).mean()))


@pytest.fixture
def sources():
    return (np.random.default_rng(0).random((2, ITEMS)) < [[0.6], [0.5]]).astype(float)


def test_a_blend_of_the_sources_is_estimated_better_than_by_a_mean(sources):
    rng = np.random.default_rng(1)
    share = rng.random((60, 1))
    blends = np.where(rng.random((60, ITEMS)) < share, sources[0], sources[1])
    without = References(np.empty((0, ITEMS)))
    assert _error(PairedDifference, References(sources), blends) < 0.8 * _error(StratifiedMean, without, blends)


def test_sources_that_tell_nothing_do_little_harm(sources):
    rng = np.random.default_rng(2)
    unrelated = (rng.random((60, ITEMS)) < rng.uniform(0.2, 0.8, (60, 1))).astype(float)
    without = References(np.empty((0, ITEMS)))
    for count in (10, 50):
        mean = _error(StratifiedMean, without, unrelated, count)
        assert _error(PairedDifference, References(sources), unrelated, count) < 1.15 * mean


def test_a_copy_of_a_source_is_known_soon(sources):
    estimator = PairedDifference()
    estimator.fit_uncalibrated(References(sources))
    seen = np.full((1, ITEMS), np.nan)
    items = estimator.next_items(seen, 50)[0]
    seen[0, items] = sources[0, items]
    scores = estimator.estimate(seen)
    assert scores.mean[0] == pytest.approx(sources[0].mean(), abs=0.02)
    assert scores.standard_error[0] < 0.03


def test_only_sources_are_paired_with(sources):
    others = np.vstack([np.ones((3, ITEMS)), sources])
    named, alone = PairedDifference(), PairedDifference()
    named.fit_uncalibrated(References(others, sources=(3, 4)))
    alone.fit_uncalibrated(References(sources))
    assert np.array_equal(named.sources, alone.sources)
    assert np.array_equal(named.order, alone.order)
