import numpy as np
import pytest
from heterosis.core.contracts.estimator import References
from heterosis.fitness.estimators.fixed_order import spread_along
from heterosis.fitness.estimators.random_mean import RandomMean
from heterosis.fitness.estimators.stratified_mean import StratifiedMean
from heterosis.testing.estimators import some_answers, some_references
from hypothesis import given, settings
from hypothesis import strategies as st


def _asked(estimator, answers, count):
    seen = np.full_like(answers, np.nan)
    items = estimator.next_items(seen, count)
    np.put_along_axis(seen, items, np.take_along_axis(answers, items, axis=1), axis=1)
    return seen


def _nothing(items, **more):
    return References(np.empty((0, items)), **more)


def test_no_references_are_needed():
    answers = some_answers(5, 50, np.random.default_rng(0))
    for estimator in (RandomMean(), StratifiedMean()):
        estimator.fit(_nothing(50))
        scores = estimator.estimate(_asked(estimator, answers, 25))
        assert np.abs(scores.mean - answers.mean(axis=1)).max() < 4 * scores.standard_error.max()


def test_the_random_mean_is_the_mean_with_the_error_of_a_finite_population():
    estimator = RandomMean()
    estimator.fit_uncalibrated(_nothing(50))
    answers = np.tile(np.arange(50) % 2, (1, 1)).astype(float)
    seen = _asked(estimator, answers, 20)
    scores = estimator.estimate(seen)
    share = np.nanmean(seen)
    assert scores.mean[0] == pytest.approx(share)
    usual = np.sqrt(share * (1 - share) / 20 * (1 - 20 / 50))
    assert scores.standard_error[0] == pytest.approx(usual, rel=0.1)


def test_all_right_is_not_certain():
    for estimator in (RandomMean(), StratifiedMean()):
        estimator.fit_uncalibrated(_nothing(200))
        errors = [
            estimator.estimate(_asked(estimator, np.ones((1, 200)), count)).standard_error[0] for count in (5, 10, 40)
        ]
        assert errors == sorted(errors, reverse=True)
        assert 0.05 < errors[1] < 0.1  # Wilson's interval of 10 of 10 is about 0.28 wide
        assert 0 < errors[2] < 0.03


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 300), st.integers(0, 1000), st.booleans())
def test_the_first_few_items_are_spread_along_the_line(items, seed, equal):
    rng = np.random.default_rng(seed)
    weights = np.full(items, 1.0 / items) if equal else rng.dirichlet(np.full(items, 5.0))
    line = rng.permutation(items)
    order = spread_along(line, weights, rng)
    assert sorted(order) == list(range(items))
    ends = np.cumsum(weights[line])
    place = np.empty(items)
    place[line] = ends - weights[line] / 2
    for count in {1, items // 10, items // 3}:
        share = (place[order[:count]] < 0.5).mean() if count else 0.5
        assert abs(share - 0.5) <= 0.5 + weights.max() if count <= 2 else abs(share - 0.5) < 2.5 / count + weights.max()


def test_each_stratum_is_asked_in_proportion_to_its_weight():
    strata = np.repeat([0, 1, 2], [300, 60, 40])
    weights = np.where(strata == 0, 0.5 / 300, np.where(strata == 1, 0.3 / 60, 0.2 / 40))
    estimator = StratifiedMean()
    estimator.fit(_nothing(400, weights=weights, strata=strata))
    asked = estimator.next_items(np.full((1, 400), np.nan), 20)[0]
    assert np.abs(np.bincount(strata[asked]) - [10, 6, 4]).max() <= 1


def test_strata_that_differ_are_weighed_not_pooled():
    strata = np.repeat([0, 1], 50)
    estimator = StratifiedMean()
    estimator.fit_uncalibrated(_nothing(100, strata=strata))
    answers = (strata == 0).astype(float)[None]
    seen = np.full_like(answers, np.nan)
    seen[0, [*range(50, 58), 3, 4]] = answers[0, [*range(50, 58), 3, 4]]
    assert estimator.estimate(seen).mean[0] == pytest.approx(0.5)
    assert np.nanmean(seen) == pytest.approx(0.2)


def test_difficulty_makes_the_error_smaller():
    rng = np.random.default_rng(1)
    references, answers = some_references(50, 200), some_answers(200, 200, rng)
    found = {}
    for estimator in (RandomMean(), StratifiedMean()):
        estimator.fit_uncalibrated(references)
        errors = []
        for seed in range(4):
            other = type(estimator)(seed=seed)
            other.fit_uncalibrated(references)
            errors.append(other.estimate(_asked(other, answers, 30)).mean - answers @ references.weights)
        found[estimator.name] = np.abs(errors).mean()
    assert found["stratified_mean"] < 0.9 * found["random_mean"]


def test_a_part_in_which_nothing_was_asked_is_like_its_neighbour():
    references = References(np.tile(np.linspace(0, 1, 100), (10, 1)))
    estimator = StratifiedMean()
    estimator.fit_uncalibrated(references)
    seen = np.full((1, 100), np.nan)
    seen[0, :25], seen[0, 60:75] = 0.0, 1.0
    predicted = estimator.predict(seen)[0]
    assert predicted[85:] == pytest.approx(1.0)
    assert predicted[25:35].max() < 0.5
