"""Intervals that are calibrated on references held out: they cover, they are wider beyond the references, they last."""

import numpy as np
import pytest
from heterosis.core import registry
from heterosis.core.contracts.estimator import References, Scores
from heterosis.core.estimate import Estimate
from heterosis.fitness.estimators.fixed_order import FixedOrderEstimator
from heterosis.fitness.estimators.held_out import FEW, folds, held_out
from heterosis.fitness.estimators.intervals import Calibration


def simulated(models, items=200, seed=0):
    """Answers of models of two abilities: shape (models, items)."""
    items_rng, rng = np.random.default_rng(99), np.random.default_rng(seed)
    loadings, easiness = items_rng.normal(0.8, 0.5, (items, 2)), items_rng.normal(0.3, 1.3, items)
    logits = rng.normal(0.0, 1.0, (models, 2)) @ loadings.T + easiness
    return (rng.random(logits.shape) < 1.0 / (1.0 + np.exp(-logits))).astype(float)


def asked(estimator, answers, count, step=5):
    seen = np.full_like(answers, np.nan)
    for _ in range(count // step):
        places = estimator.next_items(seen, step)
        np.put_along_axis(seen, places, np.take_along_axis(answers, places, axis=1), axis=1)
    return seen


def covered(estimator, answers, count):
    """Share of the models whose score lies in the 90% interval that users see."""
    scores = estimator.estimate(asked(estimator, answers, count))
    ends = [
        Estimate(float(mean), float(error), count).interval(share=True, confidence=0.9)
        for mean, error in zip(scores.mean, scores.standard_error, strict=True)
    ]
    truth = answers.mean(axis=1)
    return np.mean([low <= score <= high for (low, high), score in zip(ends, truth, strict=True)])


class Boastful(FixedOrderEstimator):
    """A mean whose standard errors are a share of what they should be."""

    name = "boastful"

    def __init__(self, seed=0, share=0.2):
        super().__init__(seed, share=share)
        self.share = share

    def _learn(self, references):
        self.order = np.random.default_rng(self.seed).permutation(references.responses.shape[1])

    def _believe(self, responses):
        mean = np.nan_to_num(np.nanmean(responses, axis=1), nan=0.5)
        count = np.maximum(np.isfinite(responses).sum(axis=1), 1)
        return Scores(mean, self.share * np.sqrt((mean * (1 - mean) + 0.01) / count))

    def predict(self, responses):
        return np.where(np.isfinite(responses), responses, 0.5)

    def _state(self):
        return {"order": self.order}

    def _restore(self, state):
        self.order = state["order"]


@pytest.mark.parametrize("models", [20, 60, 200])
@pytest.mark.parametrize("share", [0.2, 1.0, 5.0])
def test_intervals_cover_however_sure_an_estimator_is_of_itself(models, share):
    estimator = Boastful(share=share)
    estimator.fit(References(simulated(models)))
    for count in (10, 50):
        assert 0.82 <= covered(estimator, simulated(400, seed=1), count) <= 0.99


@pytest.mark.parametrize(
    ("name", "models", "count"), [("auto", 20, 50), ("auto", 200, 20), ("blup", 20, 20), ("blup", 60, 50)]
)
def test_intervals_of_model_based_estimators_cover(name, models, count):
    estimator = registry.load("estimators", name)(seed=1)
    estimator.fit(References(simulated(models)))
    assert 0.82 <= covered(estimator, simulated(200, seed=1), count) < 1.0


def test_beyond_the_references_a_standard_error_grows_with_the_distance():
    calibration = Calibration(np.array([10.0]), np.array([0.5]), np.array([[1.5]]), low=0.4, high=0.6)
    factors = calibration.factor(np.full(4, 10), np.array([0.5, 0.6, 0.7, 0.2]))
    np.testing.assert_allclose(factors, [1.5, 1.5, 3.0, 4.5])


def test_important_references_count_more_where_they_are():
    answers = simulated(100)
    best = np.argsort(answers.mean(axis=1))[-5:]
    importance = np.where(np.isin(np.arange(100), best), 5.0, 0.8)
    found = held_out(fitted(answers, None), References(answers))
    off = np.where(np.isin(found.truth, answers[best].mean(axis=1))[:, None], 0.5, 0.01) * np.ones(len(found.counts))
    found = type(found)(found.counts, found.truth[:, None] - off, found.errors, found.truth, found.importance)
    plain = Calibration.of(found)
    order = np.argsort(np.argsort(found.truth))
    weighted = type(found)(found.counts, found.means, found.errors, found.truth, np.sort(importance)[order])
    top = Calibration.of(weighted)
    assert np.all(top.factors[-1] > plain.factors[-1])


def fitted(answers, importance):
    estimator = Boastful()
    estimator.fit(References(answers, importance=importance))
    return estimator


@pytest.mark.parametrize("models", [1, 2, 3, FEW - 1, FEW, 40])
def test_each_model_is_held_out_once(models):
    found = folds(simulated(models), np.random.default_rng(0))
    np.testing.assert_array_equal(np.sort(np.concatenate(found)), np.arange(models))
    assert len(found) > 1 or models == 1


def test_copies_of_a_model_are_held_out_together():
    originals = simulated(10)
    answers = np.repeat(originals, 4, axis=0)  # clusters of four that answer alike
    found = folds(answers, np.random.default_rng(0))
    whole = sum(all(4 * kind + copy in fold for copy in range(4)) for kind in range(10) for fold in found)
    assert whole >= 4


@pytest.mark.parametrize("models", [0, 1, 2, 3, 5])
def test_few_references_give_finite_standard_errors_that_are_not_smaller(models):
    answers = simulated(max(models, 1))[:models] if models else np.empty((0, 200))
    estimator = Boastful(share=1.0)
    estimator.fit(References(answers))
    scores = estimator.estimate(asked(estimator, simulated(20, seed=3), 20))
    assert np.all(np.isfinite(scores.standard_error))
    assert np.all(scores.standard_error > 0)


def test_who_was_asked_everything_has_no_error():
    answers = simulated(30)
    scores = fitted(answers, None).estimate(answers)
    np.testing.assert_allclose(scores.mean, answers.mean(axis=1))
    np.testing.assert_array_equal(scores.standard_error, 0.0)


def test_a_restored_calibration_gives_the_same_factors():
    calibration = fitted(simulated(40), None).calibration
    again = Calibration.restored(calibration.state())
    items, mean = np.array([3, 10, 70, 500]), np.array([0.0, 0.4, 0.6, 1.0])
    np.testing.assert_array_equal(again.factor(items, mean), calibration.factor(items, mean))


def test_incomplete_references_are_learnt_from_and_never_held_out():
    answers = simulated(30)
    answers[::2, 100:] = np.nan
    found = held_out(fitted(simulated(5), None), References(answers))
    assert len(found.truth) == 15
    assert np.all(np.isfinite(found.truth))
