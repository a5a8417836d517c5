"""The 2PL of one ability: fitted by marginal maximum likelihood, read by EAP."""

import numpy as np
import pytest
from heterosis.fitness.response_model.logistic import Items, sigmoid
from heterosis.fitness.response_model.marginal import fit_marginal, standard
from heterosis.fitness.response_model.quadrature import Quadrature
from hypothesis import given, settings
from hypothesis import strategies as st


def population(models=400, items=60, seed=0, negative=0):
    """Abilities, parameters and responses of a 2PL; the first `negative` items are labelled wrongly."""
    rng = np.random.default_rng(seed)
    abilities, slopes = rng.normal(size=models), np.exp(rng.normal(0.0, 0.3, items))
    slopes[:negative] *= -1.0
    intercepts = rng.normal(0.0, 1.2, items)
    chances = sigmoid(np.multiply.outer(abilities, slopes) + intercepts)
    return abilities, slopes, intercepts, (rng.random(chances.shape) < chances).astype(float)


def test_parameters_and_abilities_that_made_the_responses_are_found():
    abilities, slopes, intercepts, responses = population()
    model = fit_marginal(responses)
    assert np.abs(model.items.loadings[:, 0] - slopes).mean() < 0.2
    assert np.abs(model.items.intercepts - intercepts).mean() < 0.2
    assert np.corrcoef(model.items.loadings[:, 0], slopes)[0, 1] > 0.8
    assert np.corrcoef(model.ability(responses)[:, 0], abilities)[0, 1] > 0.93


def test_gaps_are_left_out_of_the_fit():
    _, slopes, intercepts, responses = population(models=800)
    responses[np.random.default_rng(1).random(responses.shape) < 0.4] = np.nan
    model = fit_marginal(responses)
    assert np.abs(model.items.loadings[:, 0] - slopes).mean() < 0.25
    assert np.abs(model.items.intercepts - intercepts).mean() < 0.25


def test_a_model_that_was_asked_nothing_changes_nothing():
    responses = population(models=50, items=20)[3]
    more = np.vstack([responses, np.full((3, 20), np.nan)])
    np.testing.assert_allclose(fit_marginal(more).items.loadings, fit_marginal(responses).items.loadings, atol=0.02)


def test_shares_of_a_right_answer_are_taken_as_they_are():
    abilities, slopes, intercepts, _ = population()
    chances = sigmoid(np.multiply.outer(abilities, slopes) + intercepts)
    model = fit_marginal(chances)
    assert np.corrcoef(model.ability(chances)[:, 0], abilities)[0, 1] > 0.99
    assert np.abs(model.expected(chances) - chances).mean() < 0.03


def test_importance_counts_like_so_many_equal_models():
    responses = population(models=40, items=15)[3]
    importance = np.where(np.arange(40) < 10, 3.0, 1.0)
    repeated = np.repeat(responses, importance.astype(int), axis=0)
    weighted, copied = fit_marginal(responses, importance), fit_marginal(repeated)
    np.testing.assert_allclose(weighted.items.loadings, copied.items.loadings, atol=1e-8)
    np.testing.assert_allclose(weighted.items.intercepts, copied.items.intercepts, atol=1e-8)


def test_wrongly_labelled_items_have_negative_discriminations_and_do_no_harm():
    abilities, _, _, responses = population(negative=6)
    model = fit_marginal(responses)
    assert np.all(model.items.loadings[:6, 0] < 0)
    assert np.all(model.items.loadings[6:, 0] > 0)
    assert np.corrcoef(model.ability(responses)[:, 0], abilities)[0, 1] > 0.93


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_items_that_all_references_answer_alike_stay_finite(value):
    responses = population(models=30, items=12)[3]
    responses[:, 4] = value
    model = fit_marginal(responses)
    assert np.isfinite(model.items.loadings).all()
    assert np.abs(model.items.intercepts[4]) < 10.0
    assert abs(model.expected(responses[:3])[:, 4] - value).max() < 0.1


def test_all_right_and_all_wrong_models_have_finite_abilities_that_grow_with_the_evidence():
    model = standard(Items(np.ones((100, 1)), np.zeros(100)))
    few, many = np.full((2, 100), np.nan), np.full((2, 100), np.nan)
    few[:, :5], many[:, :50] = [[1.0], [0.0]], [[1.0], [0.0]]
    right, wrong = model.ability(few)[:, 0]
    more_right, more_wrong = model.ability(many)[:, 0]
    assert 0.0 < right < more_right < 4.5
    assert -4.5 < more_wrong < wrong < 0.0
    assert right == pytest.approx(-wrong)


def test_scores_of_models_from_the_population_are_off_by_their_standard_errors():
    _, slopes, intercepts, _ = population(items=150)
    model = standard(Items(slopes[:, None], intercepts))
    rng = np.random.default_rng(2)
    chances = sigmoid(np.multiply.outer(rng.normal(size=2000), slopes) + intercepts)
    answers = (rng.random(chances.shape) < chances).astype(float)
    weights = np.full(150, 1 / 150)
    for count in (0, 10, 60):
        seen = np.where(np.arange(150) < count, answers, np.nan)
        scores = model.scores(seen, weights)
        z = (scores.mean - answers @ weights) / scores.standard_error
        assert abs(z.mean()) < 0.1
        assert z.std() == pytest.approx(1.0, abs=0.08)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), dimensions=st.integers(1, 3))
def test_expectations_are_sums_over_the_posterior_in_any_number_of_dimensions(seed, dimensions):
    rng = np.random.default_rng(seed)
    items = Items(rng.normal(size=(7, dimensions)), rng.normal(size=7))
    model = Quadrature(items, rng.normal(size=(9, dimensions)), rng.normal(size=9))
    responses = np.where(rng.random(7) < 0.5, rng.random(7), np.nan)
    chances = 1.0 / (1.0 + np.exp(-(model.abilities @ items.loadings.T + items.intercepts)))
    likelihood = np.exp(model.log_prior)
    for item in np.flatnonzero(np.isfinite(responses)):
        right = chances[:, item]
        likelihood = likelihood * right ** responses[item] * (1.0 - right) ** (1.0 - responses[item])
    likelihood /= likelihood.sum()
    np.testing.assert_allclose(model.posterior(responses[None])[0], likelihood, atol=1e-10)
    np.testing.assert_allclose(model.expected(responses[None])[0], likelihood @ chances, atol=1e-10)
    weights = rng.dirichlet(np.ones(7))
    rest = np.where(np.isnan(responses), weights, 0.0)
    means = chances @ rest
    variance = likelihood @ (means**2 + (chances * (1 - chances)) @ rest**2) - (likelihood @ means) ** 2
    scores = model.scores(responses[None], weights)
    assert scores.mean[0] == pytest.approx(likelihood @ means + np.nansum(weights * responses))
    assert scores.standard_error[0] == pytest.approx(np.sqrt(max(variance, 0.0)), abs=1e-8)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_order_of_items_and_models_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    responses = population(models=20, items=10, seed=seed)[3]
    responses[rng.random(responses.shape) < 0.2] = np.nan
    items, models = rng.permutation(10), rng.permutation(20)
    there, here = fit_marginal(responses[np.ix_(models, items)]), fit_marginal(responses)
    np.testing.assert_allclose(there.items.loadings, here.items.loadings[items], atol=1e-8)
    np.testing.assert_allclose(there.items.intercepts, here.items.intercepts[items], atol=1e-8)
