"""c-optimal 2PL: scores of simulated models from items chosen for each."""

import numpy as np
import pytest
from heterosis.core.contracts.estimator import References
from heterosis.core.errors import ConfigurationError
from heterosis.fitness.estimators.c_optimal import COptimal, Design
from heterosis.fitness.response_model.logistic import Items, sigmoid

ITEMS = 200


def answers(models, seed, shift=0.0):
    rng = np.random.default_rng(7)
    items = Items(0.8 * rng.standard_normal((ITEMS, 3)) + 0.6, 1.5 * rng.standard_normal(ITEMS))
    rng = np.random.default_rng(seed)
    chances = sigmoid(items.logits(rng.standard_normal((models, 3)) + shift))
    return (rng.random(chances.shape) < chances).astype(float)


@pytest.fixture(scope="module")
def fitted():
    estimator = COptimal()
    estimator.fit_uncalibrated(References(answers(120, seed=0)))
    return estimator


@pytest.fixture(scope="module")
def models():
    return answers(50, seed=1)


def ask(estimator, truth, count, step=1):
    seen = np.full_like(truth, np.nan)
    while np.isfinite(seen[0]).sum() < count:
        items = estimator.next_items(seen, step)
        np.put_along_axis(seen, items, np.take_along_axis(truth, items, axis=1), axis=1)
    return seen


def at_random(truth, count, seed=3):
    hidden = np.argsort(np.random.default_rng(seed).random(truth.shape), axis=1) >= count
    return np.where(hidden, np.nan, truth)


def error(estimator, seen, truth):
    return np.abs(estimator.estimate(seen).mean - truth.mean(axis=1)).mean()


def test_chosen_items_tell_more_than_twice_as_many_random_ones(fitted, models):
    assert error(fitted, ask(fitted, models, 20), models) < error(fitted, at_random(models, 40), models)


def test_error_falls_with_the_items_and_is_far_below_that_of_the_mean(fitted, models):
    few, many = ask(fitted, models, 10), ask(fitted, models, 60)
    assert error(fitted, many, models) < error(fitted, few, models)
    plain = np.abs(np.nanmean(at_random(models, 60), axis=1) - models.mean(axis=1)).mean()
    assert error(fitted, many, models) < 0.6 * plain


def test_everybody_is_asked_the_same_first_then_their_own(fitted, models):
    first = fitted.next_items(np.full_like(models, np.nan), 5)
    assert (first == first[0]).all()
    then = fitted.next_items(ask(fitted, models, 10), 1)
    assert len(np.unique(then)) > 1


def test_items_are_new_distinct_and_no_more_than_there_are(fitted, models):
    seen = ask(fitted, models, 180, step=30)
    items = fitted.next_items(seen, 50)
    assert items.shape == (len(models), 20)
    assert all(len(set(row)) == 20 for row in items)
    assert np.isnan(np.take_along_axis(seen, items, axis=1)).all()


def test_one_design_step_is_what_the_formula_says(fitted, models):
    view = fitted.views[-1]
    found = view.posterior(ask(fitted, models[:2], 15))
    design = Design(view, found)
    loadings, covariance = view.items.loadings, found.covariance[1]
    right = sigmoid(view.items.logits(found.mean))[1]
    spread = right * (1.0 - right)
    slope = (spread / ITEMS) @ loadings
    gains = [
        w * (slope @ covariance @ a) ** 2 / (1.0 + w * a @ covariance @ a) + w / ITEMS**2
        for w, a in zip(spread, loadings, strict=True)
    ]
    np.testing.assert_allclose(design.gain()[1], gains)
    design.ask(np.array([3, 8]))
    after = np.linalg.inv(np.linalg.inv(covariance) + spread[8] * np.outer(loadings[8], loadings[8]))
    np.testing.assert_allclose(design.covariance[1], after, atol=1e-10)


def test_a_model_asked_everything_gets_its_score(fitted, models):
    scores = fitted.estimate(models)
    np.testing.assert_allclose(scores.mean, models.mean(axis=1))
    assert (scores.standard_error == 0.0).all()


def test_estimates_do_not_jump_where_the_second_model_comes_in(fitted, models):
    before = fitted.estimate(np.full_like(models, np.nan)).mean
    steps = []
    for count in range(5, 61, 5):
        now = fitted.estimate(ask(fitted, models, count, step=5)).mean
        steps.append(np.abs(now - before).mean())
        before = now
    assert max(steps[1:]) < 0.05


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_all_right_and_all_wrong(fitted, value):
    scores = fitted.estimate(ask(fitted, np.full((1, ITEMS), value), 40))
    assert abs(scores.mean[0] - value) < 0.2
    assert scores.standard_error[0] > 0.0


def test_better_than_every_reference(models):
    estimator = COptimal()
    estimator.fit_uncalibrated(References(answers(100, seed=0, shift=-0.8)))
    best = answers(30, seed=4, shift=0.8)
    assert error(estimator, ask(estimator, best, 60), best) < 0.05


def test_fractions_unasked_references_duplicates_and_negative_items():
    rows = answers(60, seed=0)
    rows[:5] *= 0.5
    rows[5:20, 10:60] = np.nan
    rows[40:] = rows[40]
    rows[:, 0] = 1.0 - rows[:, 1]
    estimator = COptimal()
    estimator.fit(References(rows))
    truth = answers(40, seed=1)
    truth[:, 0] = 1.0 - truth[:, 1]
    assert error(estimator, ask(estimator, truth, 40), truth) < 0.06


def test_a_negative_item_is_read_the_right_way_round():
    rows = answers(120, seed=0)
    plain = COptimal(dimensions=1)
    plain.fit_uncalibrated(References(rows))
    strong = int(np.argmax(np.abs(plain.views[0].items.loadings[:, 0])))
    rows[:, strong] = 1.0 - rows[:, strong]
    estimator = COptimal(dimensions=1)
    estimator.fit_uncalibrated(References(rows))
    seen = np.full((2, ITEMS), np.nan)
    seen[:, strong] = [0.0, 1.0]
    right_first = estimator.estimate(seen).mean
    assert right_first[0] > right_first[1]


def test_models_that_all_answer_alike_teach_nothing_and_break_nothing():
    estimator = COptimal()
    estimator.fit(References(np.tile(np.random.default_rng(0).random(30).round(), (12, 1))))
    nothing = np.full((1, 30), np.nan)
    assert np.isfinite(estimator.estimate(nothing).mean).all()
    assert estimator.next_items(nothing, 3).shape == (1, 3)


def test_few_references_give_fewer_dimensions():
    estimator = COptimal()
    estimator.fit(References(answers(6, seed=0)))
    assert [view.items.dimensions for view in estimator.views] == [1]
    with pytest.raises(ConfigurationError, match="needs 5 models"):
        COptimal().fit(References(answers(4, seed=0)))


def test_weights_make_the_score(fitted):
    weights = np.random.default_rng(0).random(ITEMS) ** 4 + 1e-3
    references = References(answers(120, seed=0), weights)
    estimator = COptimal()
    estimator.fit_uncalibrated(references)
    truth = answers(50, seed=1)
    off = np.abs(estimator.estimate(ask(estimator, truth, 40)).mean - truth @ references.weights).mean()
    assert off < 0.03
    nothing = np.full((1, ITEMS), np.nan)
    heavy, plain = (weights[one.next_items(nothing, 10)].mean() for one in (estimator, fitted))
    assert heavy > 1.3 * plain


def test_what_was_kept_answers_alike(fitted, models):
    other = COptimal()
    other.restore(dict(fitted.state()))
    seen = ask(fitted, models, 15, step=5)
    np.testing.assert_array_equal(other.next_items(seen, 3), fitted.next_items(seen, 3))
    np.testing.assert_allclose(other.estimate(seen).mean, fitted.estimate(seen).mean, rtol=1e-12)
    np.testing.assert_array_equal(other.predict(seen), fitted.predict(seen))


def test_the_order_of_the_items_does_not_matter(fitted, models):
    order = np.random.default_rng(5).permutation(ITEMS)
    other = COptimal()
    other.fit_uncalibrated(References(answers(120, seed=0)[:, order]))
    seen = at_random(models, 30)
    np.testing.assert_allclose(other.estimate(seen[:, order]).mean, fitted.estimate(seen).mean, atol=0.01)
