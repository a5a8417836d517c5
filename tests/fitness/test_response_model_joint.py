"""Joint maximum a posteriori of the 2PL."""

import numpy as np
import pytest
from heterosis.fitness.response_model.joint import Fit, Loss, Priors, fit_joint
from heterosis.fitness.response_model.logistic import Items, averaged, sigmoid, softplus


def simulated(models=150, items=120, dimensions=2, seed=0):
    rng = np.random.default_rng(seed)
    truth = Items(0.7 * rng.standard_normal((items, dimensions)) + 0.8, rng.standard_normal(items))
    chances = sigmoid(truth.logits(rng.standard_normal((models, dimensions))))
    return chances, (rng.random(chances.shape) < chances).astype(float)


def test_gradient_is_that_of_the_loss():
    rng = np.random.default_rng(1)
    responses = rng.random((7, 530)).round(1)  # fractions, and more items than one product of probabilities takes
    responses[2, 3:40] = np.nan
    loss = Loss(responses, rng.random(7) + 0.5, 3, Priors())
    at = rng.standard_normal(7 * 3 + 530 * 4)
    for _ in range(5):
        towards = rng.standard_normal(at.size)
        step = 1e-5 * towards
        assert (loss(at + step)[0] - loss(at - step)[0]) / 2e-5 == pytest.approx(loss(at)[1] @ towards, rel=1e-5)


def test_loss_is_what_the_docstring_says():
    rng = np.random.default_rng(2)
    responses, importance = rng.random((4, 9)), rng.random(4) + 0.5
    responses[1, 2] = np.nan
    loss = Loss(responses, importance, 2, Priors(3.0, 0.7))
    at = 3.0 * rng.standard_normal(4 * 2 + 9 * 3)
    abilities, loadings, intercepts = loss.split(at)
    logits = abilities @ loadings.T + intercepts
    models = np.nansum(softplus(logits) - responses * logits, axis=1) + 0.5 * (abilities**2).sum(axis=1)
    items = 1.5 * ((loadings - loadings.mean(axis=0)) ** 2).sum() + 0.35 * ((intercepts - intercepts.mean()) ** 2).sum()
    typical = 0.5 * importance.sum() * (loadings.mean(axis=0) ** 2).sum()
    assert loss(at)[0] == pytest.approx(importance @ models + items + typical)


def test_finds_the_probabilities_that_made_the_responses():
    chances, responses = simulated()
    fit = fit_joint(responses, 2)
    found = sigmoid(fit.items.logits(fit.abilities))
    assert np.abs(found - chances).mean() < 0.07
    assert np.abs(responses.mean(axis=0) - chances).mean() > 0.12  # no abilities: much worse


def test_finds_what_was_not_asked():
    chances, responses = simulated()
    hidden = np.random.default_rng(3).random(responses.shape) < 0.3
    fit = fit_joint(np.where(hidden, np.nan, responses), 2)
    assert np.abs(sigmoid(fit.items.logits(fit.abilities)) - chances)[hidden].mean() < 0.08


def test_a_model_that_counts_twice_is_like_two_of_it():
    _, responses = simulated(30, 40)
    twice = fit_joint(responses, 1, importance=np.r_[2.0, np.ones(29)], tolerance=1e-12, steps=2000)
    copied = fit_joint(np.vstack([responses[:1], responses]), 1, tolerance=1e-12, steps=2000)
    np.testing.assert_allclose(
        twice.items.logits(twice.abilities), copied.items.logits(copied.abilities)[1:], atol=0.02
    )


def test_starts_where_it_is_told():
    _, responses = simulated()
    fit = fit_joint(responses, 2, tolerance=1e-10, steps=2000)
    again = fit_joint(responses, 2, start=fit, steps=1)
    np.testing.assert_allclose(again.items.logits(again.abilities), fit.items.logits(fit.abilities), atol=0.05)


def test_an_item_that_none_has_solved_is_expected_of_a_better_model():
    _, responses = simulated()
    responses[:, 0] = 0.0
    fit = fit_joint(responses, 2)
    best = fit.abilities[np.argmax(responses.mean(axis=1))]
    chances = sigmoid(fit.items.logits(np.array([best, 3.0 * best])))[:, 0]
    assert chances[0] < 0.2
    assert chances[1] > chances[0]


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_responses_that_are_all_the_same_are_fitted(value):
    fit = fit_joint(np.full((6, 10), value), 2)
    assert np.abs(sigmoid(fit.items.logits(fit.abilities)) - value).max() < 0.2


def test_more_dimensions_than_models_do_no_harm():
    fit = fit_joint(np.random.default_rng(0).random((2, 5)).round(), 4)
    assert isinstance(fit, Fit)
    assert fit.abilities.shape == (2, 4)
    assert np.isfinite(fit.items.loadings).all()


def test_mean_over_a_normal_logit():
    logits = np.linspace(-4, 4, 9)
    nodes = np.random.default_rng(0).standard_normal(200_000)
    for variance in (0.1, 1.0, 4.0):
        exact = [sigmoid(logit + np.sqrt(variance) * nodes).mean() for logit in logits]
        np.testing.assert_allclose(averaged(logits, np.full(9, variance)), exact, atol=0.02)
