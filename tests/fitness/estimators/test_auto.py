"""`auto`: what it chooses, that it says so, and that it steps back where its choice does not win."""

import numpy as np
import pytest
from heterosis.core import registry
from heterosis.core.contracts.estimator import References
from heterosis.fitness.estimators import files
from heterosis.fitness.estimators.auto import Auto
from heterosis.testing.estimators import some_answers, some_references


def fitted(references, **options):
    auto = Auto(seed=1, **options)
    auto.fit(references)
    return auto


def asked(estimator, answers, count, step=5):
    seen = np.full_like(answers, np.nan)
    for _ in range(count // step):
        places = estimator.next_items(seen, step)
        np.put_along_axis(seen, places, np.take_along_axis(answers, places, axis=1), axis=1)
    return seen


@pytest.mark.parametrize(
    ("models", "batches", "choice", "adaptive"),
    [
        (0, False, "stratified_mean", False),
        (1, False, "paired_difference", False),
        (4, False, "paired_difference", False),
        (10, False, "average", False),
        (40, True, "blup", False),
        (40, False, "c_optimal", True),
    ],
)
def test_it_chooses_by_the_number_of_complete_references(models, batches, choice, adaptive):
    complete = some_answers(models, 120, np.random.default_rng(1))
    some = np.where(np.arange(120) < 60, some_answers(30, 120, np.random.default_rng(2)), np.nan)
    auto = fitted(References(np.vstack([complete, some])), batches=batches)
    assert auto.choice.split(" ")[0] == choice
    assert auto.adaptive is adaptive
    assert auto.reasons[0].startswith(f"{models} models have answered every item")


def test_it_says_by_how_much_its_choice_won_on_models_held_out():
    auto = fitted(some_references(models=40, items=120))
    assert auto.choice == "c_optimal"
    assert "held out" in auto.reasons[1]


@pytest.mark.parametrize("models", [8, 30])
@pytest.mark.parametrize("batches", [False, True])
def test_where_responses_are_noise_it_is_no_worse_than_the_stratified_mean(models, batches):
    rng = np.random.default_rng(models)
    level = rng.beta(2, 2, (models + 200, 1))
    answers = (rng.random((models + 200, 150)) < level).astype(float)  # items tell nothing of one another
    references, candidates = References(answers[:models]), answers[models:]
    errors = {}
    for name in ("auto", "stratified_mean"):
        estimator = registry.load("estimators", name)(seed=1)
        estimator.fit(references)
        seen = asked(estimator, candidates, 50)
        errors[name] = np.abs(estimator.estimate(seen).mean - candidates.mean(axis=1)).mean()
    assert errors["auto"] <= errors["stratified_mean"] + 0.003


def test_a_choice_that_loses_on_models_held_out_is_replaced(monkeypatch):
    misleading = registry.load("estimators", "c_optimal")
    monkeypatch.setattr(misleading, "_believe", lambda self, seen: Constant(seen))
    auto = fitted(some_references(models=30))
    assert auto.choice == "stratified_mean"
    assert not auto.adaptive
    assert "the stratified mean" in auto.reasons[1]


class Constant:
    """Scores that say the same of every candidate."""

    def __init__(self, seen):
        self.mean, self.standard_error = np.full(len(seen), 0.99), np.full(len(seen), 0.1)


@pytest.mark.parametrize("models", [0, 3, 10, 30])
def test_a_file_brings_back_the_choice_and_its_figures(tmp_path, models):
    auto = fitted(some_references(models=max(models, 2)) if models else References(np.empty((0, 40))))
    files.save(auto, tmp_path / "auto.npz")
    again = files.load(tmp_path / "auto.npz")
    seen = asked(auto, some_answers(5, 40, np.random.default_rng(3)), 10)
    assert (again.choice, again.reasons, again.adaptive) == (auto.choice, auto.reasons, auto.adaptive)
    np.testing.assert_array_equal(again.estimate(seen).mean, auto.estimate(seen).mean)
    np.testing.assert_array_equal(again.estimate(seen).standard_error, auto.estimate(seen).standard_error)
    np.testing.assert_array_equal(again.next_items(seen, 5), auto.next_items(seen, 5))


@pytest.mark.parametrize("models", [3, 10, 30])
def test_the_same_seed_gives_the_same_figures(models):
    seen = None
    for auto in (fitted(some_references(models=models)), fitted(some_references(models=models))):
        found = asked(auto, some_answers(5, 40, np.random.default_rng(3)), 10)
        scores = auto.estimate(found)
        if seen is not None:
            np.testing.assert_array_equal(found, seen[0])
            np.testing.assert_array_equal(scores.mean, seen[1].mean)
            np.testing.assert_array_equal(scores.standard_error, seen[1].standard_error)
        seen = found, scores
