"""Random items raise an alarm when they come out otherwise than predicted, and seldom else."""

from __future__ import annotations

import numpy as np
import pytest
from heterosis.core.contracts.estimator import Matrix, References
from heterosis.core.errors import ConfigurationError
from heterosis.fitness.drift import Drift, drift, drift_of
from heterosis.fitness.estimators.blup import Blup
from hypothesis import given
from hypothesis import strategies as st

CANDIDATES, ITEMS, EACH = 40, 200, 3


def sigmoid(logits: Matrix) -> Matrix:
    return np.asarray(1.0 / (1.0 + np.exp(-logits)))


def asked(lots: np.random.Generator, items: int = ITEMS) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """A few random items of each candidate."""
    random = np.zeros((CANDIDATES, ITEMS), np.bool_)
    for row in random:
        row[lots.choice(items, EACH, replace=False)] = True
    return random


def simulated(seed: int, harder: float = 0.0, items: int = ITEMS, odd: float = 0.0) -> Drift:
    """Predictions of the right chances; candidates meet items that are `harder`, and each odd by its own."""
    lots = np.random.default_rng(seed)
    logits = lots.normal(size=(CANDIDATES, 1)) + lots.normal(size=ITEMS)
    met = logits - harder + odd * lots.normal(size=ITEMS)
    responses = (lots.random(logits.shape) < sigmoid(met)).astype(np.float64)
    return drift(sigmoid(logits), np.where(asked(lots, items), responses, np.nan), np.full(CANDIDATES, 0.03))


def test_harder_items_raise_an_alarm_and_easier_ones() -> None:
    harder, easier = simulated(1, harder=1.5), simulated(1, harder=-1.5)
    assert (harder.alarm, easier.alarm) == (True, True)
    assert harder.difference < -0.1
    assert easier.difference > 0.1
    assert harder.answers == CANDIDATES * EACH


def test_no_alarm_without_drift() -> None:
    found = [simulated(seed) for seed in range(400)]
    assert sum(one.alarm for one in found) <= 4
    assert 0.7 < np.std([one.z for one in found]) < 1.1


def test_items_that_many_candidates_share_count_as_one_finding() -> None:
    """Six items, asked of everybody, each a bit odd: independent answers would make that an alarm."""
    found = [simulated(seed, items=6, odd=1.0) for seed in range(200)]
    assert np.mean([one.alarm for one in found]) < 0.06
    alone = [one.difference * one.answers / np.sqrt(0.2 * one.answers) for one in found]
    assert np.mean(np.abs(alone) > 3) > 0.1


def test_an_unsure_prediction_is_no_drift() -> None:
    predicted, responses = np.full((30, 150), 0.6), np.full((30, 150), np.nan)
    for row, places in zip(responses, np.arange(150).reshape(30, 5), strict=True):
        row[places] = [1.0, 0.0, 1.0, 0.0, 0.0]
    assert drift(predicted, responses, np.full(30, 0.01)).z < -3
    assert abs(drift(predicted, responses, np.full(30, 0.5)).z) < 3


def test_nothing_asked_is_no_drift() -> None:
    assert drift(np.full((3, 4), 0.5), np.full((3, 4), np.nan), np.zeros(3)) == Drift(0.0, 0.0, 0)


@given(st.integers(0, 1000))
def test_scores_between_0_and_1_count_too(seed: int) -> None:
    lots = np.random.default_rng(seed)
    found = drift(np.full((5, 8), 0.5), lots.random((5, 8)), np.zeros(5))
    assert np.isfinite(found.z)
    assert -1 <= found.difference <= 1


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"\(3, 4\)"):
        drift(np.zeros((3, 4)), np.zeros((3, 5)), np.zeros(3))


def answers(lots: np.random.Generator, models: int, intercepts: Matrix) -> Matrix:
    return (lots.random((models, ITEMS)) < sigmoid(1.5 * lots.normal(size=(models, 1)) + intercepts)).astype(np.float64)


@pytest.mark.parametrize("changed", [False, True])
def test_a_prompt_that_helps_on_the_chosen_items_only(changed: bool) -> None:
    """A search that overfits the items its estimator asks is found out by the random ones."""
    lots = np.random.default_rng(5)
    intercepts = lots.normal(size=ITEMS)
    estimator = Blup(seed=0)
    estimator.fit(References(answers(lots, 120, intercepts)))
    chosen = estimator.next_items(np.full((CANDIDATES, ITEMS), np.nan), 20)
    easier = intercepts.copy()
    easier[chosen[0]] += 2.5 if changed else 0.0
    truth = answers(lots, CANDIDATES, easier)
    random = np.zeros_like(truth, np.bool_)
    rest = np.setdiff1d(np.arange(ITEMS), chosen[0])
    for row in random:
        row[lots.choice(rest, EACH, replace=False)] = True
    responses = np.where(random, truth, np.nan)
    np.put_along_axis(responses, chosen, np.take_along_axis(truth, chosen, axis=1), axis=1)
    found = drift_of(estimator, responses, random)
    assert found.alarm == changed
    assert not changed or found.difference < 0
