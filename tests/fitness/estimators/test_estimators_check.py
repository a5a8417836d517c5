"""The conformance check finds what it looks for."""

import numpy as np
import pytest
from heterosis.core.contracts.estimator import Scores
from heterosis.fitness.estimators.random_mean import RandomMean
from heterosis.testing.estimators import check_estimator


class AsksAgain(RandomMean):
    def next_items(self, responses, count):
        return np.tile(self.order[: min(count, np.isnan(responses).sum(axis=1).min(initial=40))], (len(responses), 1))


class NeverTheSame(RandomMean):
    def predict(self, responses):
        return np.clip(super().predict(responses) + np.random.default_rng().normal(0, 1e-3, responses.shape), 0, 1)


class LooksAround(RandomMean):
    def estimate(self, responses):
        scores = super().estimate(responses)
        every = np.isfinite(responses).all(axis=1)
        mean = np.where(every, scores.mean, 0.5 * scores.mean + 0.5 * np.r_[scores.mean, 0.5].mean())
        return Scores(mean, scores.standard_error)


class Certain(RandomMean):
    def estimate(self, responses):
        scores = super().estimate(responses)
        alike = np.nanstd(np.column_stack([responses, np.nanmax(responses, axis=1, initial=0.0)]), axis=1) == 0
        return Scores(scores.mean, np.where(alike & (scores.mean > 0.9), 0.0, scores.standard_error))


class KeepsObjects(RandomMean):
    def _state(self):
        return {"order": self.order.astype(object)}


class Forgets(RandomMean):
    def _restore(self, state):
        self.order = np.sort(state["order"])


class WritesIntoResponses(RandomMean):
    def predict(self, responses):
        found = super().predict(responses)
        responses[:] = found
        return found


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (AsksAgain, "asks again"),
        (NeverTheSame, "predictions differ"),
        (LooksAround, "of a candidate alone"),
        (Certain, "certain"),
        (KeepsObjects, "objects"),
        (Forgets, "other items"),
        (WritesIntoResponses, r"changed|everything"),
    ],
)
def test_a_broken_estimator_is_found(broken, says):
    with pytest.raises(AssertionError, match=says):
        check_estimator(broken)


def test_the_name_must_be_the_entry_point_s(monkeypatch):
    monkeypatch.setattr(RandomMean, "name", "mean")
    with pytest.raises(AssertionError, match=r"'random_mean'.*'mean'"):
        check_estimator("random_mean")
