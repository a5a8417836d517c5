"""Anchors: items that stand for those which the references answered likewise."""

import numpy as np
import pytest
from heterosis.core.contracts.estimator import References
from heterosis.core.errors import ConfigurationError
from heterosis.fitness.estimators.anchors import Anchors
from heterosis.fitness.estimators.clusters import Clustering
from hypothesis import given, settings
from hypothesis import strategies as st

GROUPS = np.repeat(np.arange(6), (10, 8, 6, 4, 2, 1))


def grouped(models=20, seed=0, weights=None):
    """References that answer all items of a group alike, and the groups' answers."""
    lots = np.random.default_rng(seed)
    answers = (lots.random((models, 6)) < 0.5).astype(float)
    answers[:6] = np.eye(6)  # no two groups are alike
    return References(answers[:, GROUPS], weights), answers


def fitted(references, **options):
    estimator = Anchors(**options)
    estimator.fit_uncalibrated(references)
    return estimator


def asked(estimator, answers, *counts):
    """Responses after asking so many items at a time."""
    seen = np.full_like(answers, np.nan)
    for count in counts:
        items = estimator.next_items(seen, count)
        np.put_along_axis(seen, items, np.take_along_axis(answers, items, axis=1), axis=1)
    return seen


@pytest.mark.parametrize("goes", [(6,), (3, 3), (1, 2, 3), (1, 1, 1, 1, 1, 1)])
def test_one_item_of_each_kind_is_asked_and_tells_the_score(goes):
    references, _ = grouped(weights=np.arange(1.0, 32.0))
    estimator = fitted(references)
    candidates = (np.random.default_rng(3).random((4, 6)) < 0.5).astype(float)[:, GROUPS]
    seen = asked(estimator, candidates, *goes)
    assert sorted(GROUPS[np.isfinite(seen[0])]) == [0, 1, 2, 3, 4, 5]
    np.testing.assert_allclose(estimator.estimate(seen).mean, candidates @ references.weights)
    np.testing.assert_allclose(estimator.predict(seen), candidates)


def test_what_stands_for_most_weight_is_asked_first():
    weights = np.where(GROUPS == 4, 100.0, 1.0)
    estimator = fitted(grouped(weights=weights)[0])
    assert GROUPS[estimator.next_items(np.full((1, 31), np.nan), 6)[0, 0]] == 4


def test_copies_of_an_item_that_were_both_asked_share_its_weight():
    references, _ = grouped()
    estimator = fitted(references)
    seen = np.full((1, 31), np.nan)
    seen[0, 0], seen[0, 1], seen[0, 18] = 1.0, 0.0, 0.0  # two of the first group, one of the third
    half = estimator.predict(seen)[0]
    assert half[0] == 1.0
    assert half[1] == 0.0
    assert np.all(half[2:10] == 0.5)


def test_candidates_asked_different_items_are_each_read_by_their_own():
    references, _ = grouped()
    estimator = fitted(references)
    answers = (np.random.default_rng(4).random((3, 6)) < 0.5).astype(float)[:, GROUPS]
    seen = np.full_like(answers, np.nan)
    for row, items in enumerate(([0, 12], [3, 20, 30], [])):
        seen[row, items] = answers[row, items]
    together = estimator.estimate(seen)
    for row in range(3):
        alone = estimator.estimate(seen[row : row + 1])
        assert together.mean[row] == pytest.approx(alone.mean[0])
        assert together.standard_error[row] == pytest.approx(alone.standard_error[0])
    assert together.mean[2] == pytest.approx(references.scores.mean())


def test_few_answers_are_less_certain_than_many():
    rng = np.random.default_rng(0)
    references = References((rng.random((60, 80)) < rng.random((60, 1))).astype(float))
    estimator = fitted(references)
    errors = [estimator.estimate(asked(estimator, references.responses[:1], n)).standard_error[0] for n in (0, 5, 30)]
    assert errors[0] > errors[1] > errors[2] > 0


def test_models_all_alike_are_no_proof_that_the_next_one_is():
    estimator = fitted(References(np.tile(np.repeat([1.0, 0.0], 15), (12, 1))))
    seen = asked(estimator, np.ones((1, 30)), 2)
    assert estimator.estimate(seen).standard_error[0] > 0.01


def test_importance_counts_like_so_many_equal_models():
    references, _ = grouped(models=12, seed=1)
    importance = np.where(np.arange(12) < 4, 3.0, 1.0)
    copied = References(np.repeat(references.responses, importance.astype(int), axis=0))
    weighted = References(references.responses, importance=importance)
    seen = asked(fitted(weighted), references.responses[:1], 3)
    nothing = np.full_like(seen, np.nan)
    for given_ in (seen, nothing):
        one, other = fitted(weighted).estimate(given_), fitted(copied).estimate(given_)
        assert one.mean[0] == pytest.approx(other.mean[0])


def test_items_may_be_likened_by_their_parameters():
    rng = np.random.default_rng(5)
    chances = 1.0 / (1.0 + np.exp(-(rng.normal(size=(200, 1)) + rng.normal(0.0, 1.5, 90))))
    answers = (rng.random(chances.shape) < chances).astype(float)
    estimator = fitted(References(answers[:150]), vectors="parameters")
    seen = asked(estimator, answers[150:], 25)
    off = np.abs(estimator.estimate(seen).mean - answers[150:].mean(axis=1)).mean()
    assert off < 0.75 * np.abs(answers[150:].mean(axis=1) - answers[:150].mean()).mean()


def test_an_unknown_kind_of_vectors_is_refused():
    with pytest.raises(ConfigurationError, match=r"'embeddings'.*responses, parameters"):
        Anchors(vectors="embeddings")


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_estimate_is_the_weighted_prediction_and_follows_the_order_of_items(seed):
    rng = np.random.default_rng(seed)
    references = References((rng.random((8, 12)) < 0.5).astype(float), rng.random(12) + 0.1)
    seen = np.where(rng.random((3, 12)) < 0.4, rng.random((3, 12)), np.nan)
    estimator = fitted(references)
    np.testing.assert_allclose(estimator.estimate(seen).mean, estimator.predict(seen) @ references.weights, atol=1e-12)
    order = rng.permutation(12)
    moved = fitted(References(references.responses[:, order], references.weights[order]))
    np.testing.assert_allclose(moved.estimate(seen[:, order]).mean, estimator.estimate(seen).mean, atol=1e-12)
    np.testing.assert_allclose(moved.predict(seen[:, order]), estimator.predict(seen)[:, order], atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), chosen=st.integers(0, 4), count=st.integers(1, 20))
def test_clusters_find_distinct_items_that_are_not_chosen(seed, chosen, count):
    rng = np.random.default_rng(seed)
    vectors = rng.integers(0, 2, (15, 3)).astype(float)  # many are equal
    before = rng.permutation(15)[:chosen]
    found = Clustering(vectors, rng.random(15) + 0.1).anchors(before, count, np.random.default_rng(0))
    assert len(found) == min(count, 15 - chosen)
    assert len(set(found) | set(before)) == len(found) + chosen


def test_clusters_are_as_tight_as_the_best_of_many_random_ones():
    rng = np.random.default_rng(6)
    centres = rng.normal(0.0, 10.0, (5, 4))
    vectors = (centres[:, None] + rng.normal(0.0, 0.1, (5, 9, 4))).reshape(-1, 4)
    found = Clustering(vectors, np.full(45, 1 / 45)).anchors(np.empty(0, np.intp), 5, np.random.default_rng(1))
    assert sorted(found // 9) == [0, 1, 2, 3, 4]
    around = Clustering(vectors, np.full(45, 1 / 45)).anchors(np.array([0, 9]), 3, np.random.default_rng(1))
    assert sorted(around // 9) == [2, 3, 4]
