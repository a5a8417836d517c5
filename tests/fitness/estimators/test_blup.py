import numpy as np
import pytest
from heterosis.core.contracts.estimator import References
from heterosis.fitness.estimators import blup
from heterosis.fitness.estimators.blup import Blup
from heterosis.fitness.estimators.covariance import DenseCovariance, one_ability, weighted_deviations
from heterosis.fitness.estimators.greedy_order import greedy_order
from heterosis.fitness.estimators.low_rank_covariance import LowRankCovariance
from heterosis.fitness.estimators.random_mean import RandomMean
from heterosis.testing.estimators import partly_asked, some_answers, some_references
from hypothesis import given, settings
from hypothesis import strategies as st

seeds = st.integers(0, 10_000)


def _error(estimator, references, answers, count):
    estimator.fit_uncalibrated(references)
    seen = np.full_like(answers, np.nan)
    items = estimator.next_items(seen, count)
    np.put_along_axis(seen, items, np.take_along_axis(answers, items, axis=1), axis=1)
    return np.abs(estimator.estimate(seen).mean - answers @ references.weights).mean()


def test_ten_items_tell_more_than_ten_random_ones():
    references = some_references(120, 100)
    answers = some_answers(100, 100, np.random.default_rng(1))
    assert _error(Blup(), references, answers, 10) < 0.75 * _error(RandomMean(), references, answers, 10)


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_it_is_the_conditional_mean_of_jointly_normal_items(seed):
    rng = np.random.default_rng(seed)
    references = some_references(20, 15, seed)
    estimator = Blup()
    estimator.fit_uncalibrated(references)
    responses = partly_asked(some_answers(4, 15, rng, continuous=True), rng)
    matrix, mean, weights = estimator.covariance.matrix, estimator.mean, references.weights
    scores, predicted = estimator.estimate(responses), estimator.predict(responses)
    for row, response in enumerate(responses):
        asked = ~np.isnan(response)
        regression = matrix[:, asked] @ np.linalg.inv(matrix[np.ix_(asked, asked)])
        expected = mean + regression @ (response[asked] - mean[asked])
        left = matrix - regression @ matrix[asked]
        assert predicted[row] == pytest.approx(np.clip(expected, 0, 1), abs=1e-6)
        assert scores.mean[row] == pytest.approx(np.clip(weights @ expected, 0, 1), abs=1e-6)
        assert scores.standard_error[row] ** 2 == pytest.approx(weights @ left @ weights, abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_each_item_of_the_order_lowers_the_variance_most(seed):
    rng = np.random.default_rng(seed)
    deviations, weights = rng.normal(size=(8, 12)), rng.dirichlet(np.ones(12))
    covariance = DenseCovariance.of(deviations, np.zeros(12), 0.3, 1.0, weights)
    found = greedy_order(covariance, weights, 5)
    assert sorted(found.order) == list(range(12))
    assert np.array_equal(greedy_order(covariance, weights, 3).order[:3], found.order[:3])

    def variance(asked):
        cross = covariance.times(weights)[asked]
        return weights @ covariance.times(weights) - cross @ covariance.solve(asked, cross[:, None])[:, 0]

    for turn in range(5):
        asked = found.order[:turn]
        each = {item: variance(np.append(asked, item)) for item in range(12) if item not in asked}
        assert each[found.order[turn]] == pytest.approx(min(each.values()), abs=1e-12)
        assert variance(asked) - min(each.values()) == pytest.approx(found.gains[turn] ** 2, abs=1e-9)


def test_estimates_along_the_order_are_those_of_each_prefix():
    references = some_references(30, 20)
    estimator = Blup()
    estimator.fit_uncalibrated(references)
    answers = some_answers(6, 20, np.random.default_rng(2))
    found = greedy_order(estimator.covariance, references.weights, 8)
    along = estimator.mean @ references.weights + found.additions(answers - estimator.mean)
    for count in range(1, 9):
        seen = np.full_like(answers, np.nan)
        seen[:, found.order[:count]] = answers[:, found.order[:count]]
        assert np.clip(along[:, count - 1], 0, 1) == pytest.approx(estimator.estimate(seen).mean, abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(seeds, st.sampled_from([1.0, 5.0]))
def test_few_factors_and_a_diagonal_are_the_matrix_where_the_factors_suffice(seed, widening):
    rng = np.random.default_rng(seed)
    _, deviations = weighted_deviations(some_references(9, 30, seed))
    weights = rng.dirichlet(np.ones(30))
    made_with = (deviations, one_ability(deviations, weights), 0.2, widening, weights)
    dense, low_rank = DenseCovariance.of(*made_with), LowRankCovariance.of(*made_with)
    items, values = rng.permutation(30)[:12], rng.normal(size=(12, 3))
    assert low_rank.diagonal == pytest.approx(dense.diagonal)
    assert low_rank.column(4) == pytest.approx(dense.column(4))
    assert low_rank.times(weights) == pytest.approx(dense.times(weights))
    assert low_rank.cross(items, values) == pytest.approx(dense.cross(items, values))
    assert low_rank.solve(items, values) == pytest.approx(dense.solve(items, values), rel=1e-5, abs=1e-7)


def test_many_items_take_the_low_rank_form_and_give_the_same(monkeypatch):
    references = some_references(20, 40)
    responses = partly_asked(some_answers(5, 40, np.random.default_rng(3)), np.random.default_rng(4))
    dense, low_rank = Blup(), Blup()
    dense.fit_uncalibrated(references)
    monkeypatch.setattr(blup, "DENSE", 39)
    low_rank.fit_uncalibrated(references)
    assert isinstance(low_rank.covariance, LowRankCovariance)
    assert np.array_equal(low_rank.order[:20], dense.order[:20])
    assert low_rank.estimate(responses).mean == pytest.approx(dense.estimate(responses).mean, abs=1e-6)
    assert low_rank.predict(responses) == pytest.approx(dense.predict(responses), abs=1e-6)


def test_important_references_count_as_if_they_were_there_more_often():
    responses = some_answers(6, 12, np.random.default_rng(5))
    mean, deviations = weighted_deviations(References(responses, importance=np.array([3.0, 1, 1, 1, 1, 1])))
    assert mean == pytest.approx(np.vstack([responses, responses[:1], responses[:1]]).mean(axis=0))
    alike = weighted_deviations(References(responses))[1]
    assert alike.T @ alike == pytest.approx(np.cov(responses.T), abs=1e-12)
    assert deviations.T @ deviations != pytest.approx(np.cov(responses.T), abs=1e-3)


def test_widening_multiplies_the_variance_of_the_score():
    references = some_references(20, 30)
    _, deviations = weighted_deviations(references)
    weights = references.weights
    once, more = (DenseCovariance.of(deviations, np.zeros(30), 0.1, by, weights) for by in (1.0, 5.0))
    assert weights @ more.times(weights) == pytest.approx(5.0 * (weights @ once.times(weights)))
