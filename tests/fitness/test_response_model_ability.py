"""Maximum a posteriori abilities of a batch."""

import numpy as np
import pytest
from heterosis.fitness.response_model.ability import Prior, posterior
from heterosis.fitness.response_model.logistic import Items, sigmoid, softplus
from scipy.optimize import minimize

ITEMS = Items(
    2.0 * np.random.default_rng(0).standard_normal((60, 3)), 2.0 * np.random.default_rng(1).standard_normal(60)
)
PRIOR = Prior(np.array([0.5, -0.3, 0.0]), np.array([[2.0, 0.3, 0.0], [0.3, 1.0, 0.1], [0.0, 0.1, 4.0]]))


def asked(seed=2, models=12):
    """Each model another number of items, among them none and all."""
    rng = np.random.default_rng(seed)
    chances = sigmoid(ITEMS.logits(2.0 * rng.standard_normal((models, 3))))
    responses = (rng.random(chances.shape) < chances).astype(float)
    counts = np.linspace(0, 60, models).astype(int)
    for row, count in enumerate(counts):
        responses[row, rng.permutation(60)[count:]] = np.nan
    return responses


def loss(ability, row):
    seen = np.isfinite(row)
    logits = ITEMS.logits(ability[None])[0, seen]
    off = ability - PRIOR.mean
    return (softplus(logits) - row[seen] * logits).sum() + 0.5 * off @ np.linalg.solve(PRIOR.covariance, off)


def test_newton_reaches_the_optimum():
    responses = asked()
    found = posterior(responses, ITEMS, PRIOR)
    for row, ability in zip(responses, found.mean, strict=True):
        best = minimize(loss, PRIOR.mean, args=(row,), method="BFGS", options={"gtol": 1e-8})
        np.testing.assert_allclose(ability, best.x, atol=1e-4)


def test_covariance_is_the_inverse_of_the_curvature():
    responses = asked()
    found = posterior(responses, ITEMS, PRIOR)
    rng = np.random.default_rng(4)
    for row, ability, covariance in zip(responses, found.mean, found.covariance, strict=True):
        step = 1e-3 * rng.standard_normal(3)
        curvature = loss(ability + step, row) + loss(ability - step, row) - 2.0 * loss(ability, row)
        assert curvature == pytest.approx(step @ np.linalg.solve(covariance, step), rel=1e-3)


def test_who_was_asked_nothing_is_what_the_prior_says():
    found = posterior(np.full((2, 60), np.nan), ITEMS, PRIOR)
    np.testing.assert_allclose(found.mean, [PRIOR.mean, PRIOR.mean])
    np.testing.assert_allclose(found.covariance, [PRIOR.covariance, PRIOR.covariance], atol=1e-12)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_all_wrong_and_all_right_stay_finite_and_are_optimal(value):
    row = np.full(60, value)
    found = posterior(row[None], ITEMS, PRIOR).mean[0]
    best = minimize(loss, PRIOR.mean, args=(row,), method="BFGS", options={"gtol": 1e-8})
    np.testing.assert_allclose(found, best.x, atol=1e-3)


def test_a_batch_gives_what_each_gives_alone():
    responses = asked()
    together = posterior(responses, ITEMS, PRIOR)
    for place, row in enumerate(responses):
        alone = posterior(row[None], ITEMS, PRIOR)
        np.testing.assert_allclose(together.mean[place], alone.mean[0], atol=1e-6)
        np.testing.assert_allclose(together.covariance[place], alone.covariance[0], atol=1e-6)


def test_steep_items_do_not_throw_newton_off():
    steep = Items(40.0 * ITEMS.loadings, 10.0 * ITEMS.intercepts)
    responses = asked()
    found = posterior(responses, steep, PRIOR).mean
    assert np.isfinite(found).all()
    nothing = (responses - sigmoid(steep.logits(np.repeat(PRIOR.mean[None], len(responses), axis=0)))) ** 2
    fitted = (responses - sigmoid(steep.logits(found))) ** 2
    assert np.nansum(fitted) < np.nansum(nothing)


def test_prior_of_abilities():
    abilities = np.array([[0.0, 1.0], [2.0, 1.0], [2.0, 3.0]])
    prior = Prior.of(abilities, np.array([1.0, 1.0, 2.0]), scale=2.0)
    np.testing.assert_allclose(prior.mean, [1.5, 2.0])
    expected = 2.0 * np.cov(abilities[[0, 1, 2, 2]].T, bias=True)
    np.testing.assert_allclose(prior.covariance, expected, atol=0.01)


def test_prior_of_one_model_is_a_prior():
    prior = Prior.of(np.array([[1.0, 2.0]]), np.ones(1))
    assert (np.linalg.eigvalsh(prior.covariance) > 0).all()


def test_widened_along_one_direction_only():
    slope = np.array([1.0, 2.0, 0.5])
    wider = PRIOR.widened(slope, 5.0)
    assert slope @ wider.covariance @ slope == pytest.approx(5.0 * (slope @ PRIOR.covariance @ slope))
    apart = np.linalg.svd((PRIOR.covariance @ slope)[None])[2][1:]  # what does not vary with the slope
    np.testing.assert_allclose(apart @ wider.covariance @ apart.T, apart @ PRIOR.covariance @ apart.T, atol=1e-12)
    np.testing.assert_array_equal(PRIOR.widened(np.zeros(3), 5.0).covariance, PRIOR.covariance)
