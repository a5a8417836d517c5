"""p-IRT, gp-IRT and their mixtures: scores of simulated models and merges from few items."""

import numpy as np
import pytest
from heterosis.core.contracts.estimator import References
from heterosis.core.errors import ConfigurationError
from heterosis.fitness.estimators.anchors import Anchors
from heterosis.fitness.estimators.gp_irt import GpIrt
from heterosis.fitness.estimators.mixture_irt import GmpIrt, MpIrt
from heterosis.fitness.estimators.p_irt import PIrt
from heterosis.fitness.response_model.logistic import sigmoid

ITEMS = 120


def answers(abilities, seed):
    """Responses of models of these abilities to the same items."""
    rng = np.random.default_rng(11)
    slopes, intercepts = np.exp(rng.normal(0.0, 0.4, ITEMS)), rng.normal(0.0, 1.5, ITEMS)
    chances = sigmoid(np.multiply.outer(np.asarray(abilities), slopes) + intercepts)
    return (np.random.default_rng(seed).random(chances.shape) < chances).astype(float)


@pytest.fixture(scope="module")
def references():
    sources = (-0.6, 0.2, 1.0)
    abilities = np.concatenate([sources, np.random.default_rng(0).normal(size=60)])
    return References(answers(abilities, seed=1), sources=(0, 1, 2))


@pytest.fixture(scope="module")
def models():
    return answers(np.random.default_rng(5).normal(size=80), seed=2)


@pytest.fixture(scope="module")
def merges():
    mixtures = np.random.default_rng(6).dirichlet(np.ones(3), 80)
    return answers(mixtures @ (-0.6, 0.2, 1.0), seed=3)


def seen(estimator, responses, count):
    """Responses to the first items that it asks for."""
    given = np.full_like(responses, np.nan)
    items = estimator.next_items(given, count)
    np.put_along_axis(given, items, np.take_along_axis(responses, items, axis=1), axis=1)
    return given


def error(estimator, responses, count):
    """Mean absolute error, in points."""
    found = estimator.estimate(seen(estimator, responses, count)).mean
    return 100 * np.abs(found - responses.mean(axis=1)).mean()


def fitted(estimator, references):
    estimator.fit_uncalibrated(references)
    return estimator


@pytest.mark.parametrize("count", [5, 10])
@pytest.mark.parametrize("kind", [PIrt, GpIrt])
def test_the_response_model_beats_the_plain_mean_of_the_same_items(references, models, kind, count):
    estimator = fitted(kind(), references)
    given = seen(estimator, models, count)
    plain = 100 * np.abs(np.nanmean(given, axis=1) - models.mean(axis=1)).mean()
    assert error(estimator, models, count) < 0.85 * plain


@pytest.mark.parametrize("kind", [PIrt, GpIrt, MpIrt, GmpIrt])
def test_all_right_and_all_wrong_candidates_have_sensible_scores(references, kind):
    estimator = fitted(kind(), references)
    given = seen(estimator, np.vstack([np.ones(ITEMS), np.zeros(ITEMS)]), 8)
    found = estimator.estimate(given)
    anyone = estimator.estimate(np.full((1, ITEMS), np.nan))
    assert 1.0 > found.mean[0] > anyone.mean[0] > found.mean[1] > 0.0
    assert np.all((found.standard_error > 0.005) & (found.standard_error < 0.25))


@pytest.mark.parametrize("kind", [PIrt, MpIrt])
def test_estimates_do_not_depend_on_the_order_of_the_items(references, models, kind):
    order = np.random.default_rng(9).permutation(ITEMS)
    moved = References(references.responses[:, order], sources=references.sources)
    given = np.where(np.random.default_rng(8).random(models.shape) < 0.2, models, np.nan)
    here, there = fitted(kind(), references), fitted(kind(), moved)
    np.testing.assert_allclose(there.estimate(given[:, order]).mean, here.estimate(given).mean, atol=1e-8)
    np.testing.assert_allclose(there.predict(given[:, order]), here.predict(given)[:, order], atol=1e-8)


def test_an_item_that_is_there_twice_is_expected_to_be_answered_twice_alike(references, models):
    twice = References(np.column_stack([references.responses, references.responses[:, :1]]))
    estimator = fitted(PIrt(), twice)
    given = np.column_stack([models, models[:, 0]])
    given[:, 40:] = np.nan
    expected = estimator.predict(given)
    np.testing.assert_allclose(expected[:, 0], expected[:, -1])


def test_wrongly_labelled_items_make_scores_hardly_worse(references, models):
    wrong = np.random.default_rng(4).random(ITEMS) < 0.1
    relabelled = References(np.where(wrong, 1.0 - references.responses, references.responses))
    estimator = fitted(PIrt(), relabelled)
    assert error(estimator, np.where(wrong, 1.0 - models, models), 30) < 1.3 * error(
        fitted(PIrt(), references), models, 30
    )


def test_the_weights_of_items_are_in_the_score(references, models):
    weights = np.where(np.arange(ITEMS) < 60, 5.0, 1.0)
    weighted = References(references.responses, weights)
    estimator = fitted(PIrt(), weighted)
    found = estimator.estimate(seen(estimator, models, 60)).mean
    assert np.abs(found - models @ weighted.weights).mean() < 0.04


def test_p_irt_asks_everyone_the_same_random_items(references):
    estimator = fitted(PIrt(seed=3), references)
    nothing = np.full((2, ITEMS), np.nan)
    items = estimator.next_items(nothing, 12)
    assert np.array_equal(items[0], items[1])
    assert np.array_equal(items[:, :5], estimator.next_items(nothing, 5))
    assert not np.array_equal(items[0], fitted(PIrt(seed=4), references).next_items(nothing, 12)[0])


@pytest.mark.parametrize(("items", "reduction"), [("anchors", 4.0), ("random", 1.0)])
def test_lambda_is_the_published_formula(references, models, items, reduction):
    estimator = fitted(GpIrt(items=items), references)
    given = seen(estimator, models, 25)
    variance = references.responses.var(axis=1).mean()
    assert estimator.variance == pytest.approx(variance)
    share = estimator.misfit**2 / (variance / (reduction * 25) + estimator.misfit**2)
    direct, model = estimator.direct.estimate(given).mean, estimator.model.estimate(given).mean
    np.testing.assert_allclose(estimator.estimate(given).mean, share * direct + (1 - share) * model)
    np.testing.assert_allclose(
        estimator.predict(given),
        share * estimator.direct.predict(given) + (1 - share) * estimator.model.predict(given),
    )


def test_misfit_is_small_where_the_model_is_true_and_large_where_there_are_two_abilities(references):
    rng = np.random.default_rng(7)
    first, second = rng.normal(size=(2, 63))
    two = np.column_stack([answers(first, 1)[:, ::2], answers(second, 2)[:, ::2]])
    alternating = np.empty_like(two)
    alternating[:, ::2], alternating[:, 1::2] = two[:, :60], two[:, 60:]  # even items say nothing of odd ones
    assert fitted(GpIrt(), references).misfit < 0.08
    assert fitted(GpIrt(), References(alternating)).misfit > 0.1


@pytest.mark.parametrize(("share", "part"), [(1.0, Anchors), (0.0, PIrt)])
def test_a_fixed_share_of_all_or_nothing_is_one_of_its_parts(references, models, share, part):
    estimator, alone = fitted(GpIrt(share=share), references), fitted(part(), references)
    given = seen(estimator, models, 15)
    np.testing.assert_allclose(estimator.estimate(given).mean, alone.estimate(given).mean)
    np.testing.assert_allclose(estimator.estimate(given).standard_error, alone.estimate(given).standard_error)


@pytest.mark.parametrize("count", [5, 10])
def test_knowing_the_sources_helps_with_their_merges(references, merges, count):
    assert error(fitted(MpIrt(), references), merges, count) < 0.85 * error(fitted(PIrt(), references), merges, count)
    assert error(fitted(GmpIrt(), references), merges, count) < error(fitted(GpIrt(), references), merges, count)


def test_a_merge_is_expected_between_its_sources(references, models):
    estimator = fitted(MpIrt(), references)
    full = fitted(PIrt(), references).model.ability(references.responses[:3])[:, 0]
    ability = estimator.model.ability(seen(estimator, models, 60))[:, 0]
    assert full.min() < ability.min() < ability.max() < full.max()


def test_a_strong_prior_holds_the_mixture_at_equal_weights(references, merges):
    estimator = fitted(MpIrt(concentration=1e6), references)
    full = fitted(PIrt(), references).model.ability(references.responses[:3])[:, 0]
    ability = estimator.model.ability(seen(estimator, merges, 10))[:, 0]
    np.testing.assert_allclose(ability, full.mean(), atol=0.1)


@pytest.mark.parametrize("sources", [(), (2,)])
@pytest.mark.parametrize("kind", [MpIrt, GmpIrt])
def test_a_mixture_without_sources_is_refused(references, kind, sources):
    with pytest.raises(ConfigurationError, match=r"two sources or more.*Use `gp_irt`"):
        kind().fit(References(references.responses, sources=sources))


@pytest.mark.parametrize("seed", range(4))
def test_sources_are_known_whichever_references_are_held_out(references, merges, seed):
    few = references.take(np.arange(12))
    estimator = MpIrt(seed=seed)
    estimator.fit(few)
    found = estimator.estimate(seen(estimator, merges, 20))
    assert np.all(np.isfinite(found.standard_error) & (found.standard_error > 0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GpIrt(items="best"), "'best'.*anchors"),
        (lambda: GpIrt(share=1.5), "1.5.*between 0 and 1"),
        (lambda: MpIrt(concentration=0.0), "0.0.*positive"),
        (lambda: GmpIrt(concentration=-1.0), "-1.0.*positive"),
    ],
)
def test_options_that_make_no_sense_are_refused(make, message):
    with pytest.raises(ConfigurationError, match=message):
        make()


@pytest.mark.parametrize("make", [lambda: GpIrt(2, items="random", share=0.3), lambda: GmpIrt(2, concentration=3.0)])
def test_options_are_kept_by_another_one_that_takes_over_what_was_learned(references, models, make):
    estimator = fitted(make(), references)
    other = estimator.fresh()
    other.restore(estimator.state())
    given = seen(estimator, models, 9)
    np.testing.assert_allclose(other.estimate(given).mean, estimator.estimate(given).mean, rtol=1e-12)
    np.testing.assert_array_equal(other.next_items(given, 6), estimator.next_items(given, 6))
