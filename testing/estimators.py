"""Conformance check for contract `heterosis.estimators`: run it on your own estimator as we run it on ours.

>>> from heterosis.testing.estimators import check_estimator
>>> check_estimator("random_mean")
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core import registry
from ..core.contracts.estimator import Estimator, Matrix, Places, References, Scores
from ..core.errors import ConfigurationError

ITEMS = 40
REFERENCES = 24
CANDIDATES = 5
ROUNDING = 1e-6
"""How far figures may differ that are the same but for the order in which numbers are added."""


@dataclass(frozen=True)
class Subject:
    """An estimator that is checked, and its options."""

    estimator: type[Estimator]
    options: dict[str, Any]

    def fitted(self, references: References, seed: int = 1) -> Estimator:
        """A fresh instance, fitted. Raises AssertionError if that raises anything."""
        made = self.estimator(seed=seed, **self.options)
        try:
            made.fit(references)
        except Exception as error:
            raise AssertionError(
                f"fitting it to references of shape {references.responses.shape} raised {error!r}"
            ) from error
        return made

    @cached_property
    def usual(self) -> Estimator:
        """One that is fitted to `some_references()`."""
        return self.fitted(some_references())


def some_references(
    models: int = REFERENCES, items: int = ITEMS, seed: int = 0, continuous: bool = False
) -> References:
    """References that differ in ability, on items that differ in difficulty, weight and stratum."""
    rng = np.random.default_rng(seed)
    weights = np.where(np.arange(items) < items // 2, 1.0, 2.0)
    return References(some_answers(models, items, rng, continuous), weights, np.arange(items) % 3, sources=(0, 1))


def some_answers(models: int, items: int, rng: np.random.Generator, continuous: bool = False) -> Matrix:
    """Shape (models, items): what models may answer, 0 or 1, or anything between."""
    easiness = np.random.default_rng(7).normal(0.0, 1.5, items)
    expected = 1.0 / (1.0 + np.exp(-rng.normal(0.0, 1.0, (models, 1)) - easiness))
    if continuous:
        return np.clip(expected + rng.normal(0.0, 0.1, expected.shape), 0.0, 1.0)
    return (rng.random(expected.shape) < expected).astype(np.float64)


def partly_asked(answers: Matrix, rng: np.random.Generator) -> Matrix:
    """Shape (candidates, items): a different half of each candidate's answers, and NaN."""
    return np.where(np.argsort(rng.random(answers.shape), axis=1) < answers.shape[1] // 2, answers, np.nan)


def check_estimator(estimator: str | type[Estimator], **options: Any) -> None:
    """Checks that an estimator keeps its contract.

    Args:
        estimator: a class, or the name of an installed plugin.
        options: what it is made with, besides the seed.

    Raises:
        AssertionError: it does not; the message says what it did.
        PluginError: no plugin of that name can be loaded.
    """
    if isinstance(estimator, str):
        loaded: type[Estimator] = registry.load("estimators", estimator)
        named = f"the entry point is called {estimator!r}, but the class's `name` is {loaded.name!r}"
        assert loaded.name == estimator, named
        estimator = loaded
    subject = Subject(estimator, options)
    for check in CHECKS:
        check(subject)


def check_identity(subject: Subject) -> None:
    """It is a subclass of the contract, with a name, and can be made again from its seed and options."""
    estimator = subject.estimator
    assert isinstance(estimator, type), f"{estimator!r} is not a class"
    assert issubclass(estimator, Estimator), f"{estimator} is not a subclass of Estimator"
    lacking = sorted(getattr(estimator, "__abstractmethods__", ()))
    assert not lacking, f"{estimator} lacks {', '.join(lacking)}"
    assert isinstance(getattr(estimator, "name", None), str), f"{estimator} has no name"
    assert estimator.name, f"{estimator} has an empty name"
    assert isinstance(estimator.adaptive, bool), f"`adaptive` is {estimator.adaptive!r}, neither true nor false"
    assert estimator.least_references >= 0, f"`least_references` is {estimator.least_references}"
    made = estimator(seed=3, **subject.options)
    again = made.fresh()
    assert made.seed == 3, f"it was made with seed 3 and says {made.seed}"
    assert (again.seed, again.options) == (made.seed, made.options), "`fresh` gave other options"


def check_figures(subject: Subject) -> None:
    """Shapes and ranges, for any number of candidates that were asked different items, few or none."""
    responses = _responses()
    nothing = np.full_like(responses, np.nan)
    for given in (responses, nothing, responses[:1], responses[:0], np.vstack([responses, nothing])):
        scores, predicted = subject.usual.estimate(given), subject.usual.predict(given)
        _is_scores(scores, len(given))
        _are_shares("predicted responses", predicted, given.shape)
    doubt = subject.usual.estimate(np.vstack([responses, nothing])).standard_error
    assert np.all(doubt > 0), f"the standard error is {doubt.min()} though not everything was asked"


def check_determinism(subject: Subject) -> None:
    """The same again gives the same, and nothing that was handed over is changed."""
    references, responses = some_references(), _responses()
    kept = references.responses.copy(), responses.copy()
    first, second = subject.usual, subject.fitted(references)
    for turn in range(2):
        _are_same("estimates", first.estimate(responses).mean, second.estimate(responses).mean)
        _are_same(
            "standard errors", first.estimate(responses).standard_error, second.estimate(responses).standard_error
        )
        _are_same("predictions", first.predict(responses), second.predict(responses))
        same = np.array_equal(first.next_items(responses, 4), second.next_items(responses, 4))
        assert same, f"the same seed asked for other items (call {turn + 1})"
    assert np.array_equal(references.responses, kept[0], equal_nan=True), "the references were changed"
    assert np.array_equal(responses, kept[1], equal_nan=True), "the responses were changed"


def check_items(subject: Subject) -> None:
    """Items are asked once, all of them in the end; if it does not adapt, all candidates are asked the same."""
    responses = np.full((CANDIDATES, ITEMS), np.nan)
    answers = some_answers(CANDIDATES, ITEMS, np.random.default_rng(5))
    while np.isnan(responses).any():
        items = _asked_for(subject.usual, responses, 7)
        if not subject.usual.adaptive:
            assert np.all(items == items[0]), "`adaptive` is false, yet candidates were asked different items"
        np.put_along_axis(responses, items, np.take_along_axis(answers, items, axis=1), axis=1)
    assert _asked_for(subject.usual, responses, 7).shape[1] == 0, "it asks on when everything was asked"
    _asked_for(subject.usual, _responses(), 7)
    _asked_for(subject.usual, np.vstack([_responses(), responses[:1]]), 7)
    _asked_for(subject.usual, _responses()[:0], 7)


def check_everything_asked(subject: Subject) -> None:
    """A score that is known is given as it is, without doubt."""
    answers = some_answers(CANDIDATES, ITEMS, np.random.default_rng(6), continuous=True)
    scores = subject.usual.estimate(answers)
    _are_same("scores of candidates that were asked everything", scores.mean, answers @ some_references().weights)
    assert np.all(scores.standard_error == 0), f"everything was asked, yet the error is {scores.standard_error.max()}"


def check_extremes(subject: Subject) -> None:
    """All right is better than all wrong, both are uncertain while something was not asked."""
    asked = ~np.isnan(_responses()[:1])
    given = np.where(np.vstack([asked, asked]), np.array([[1.0], [0.0]]), np.nan)
    scores = subject.usual.estimate(given)
    _is_scores(scores, 2)
    assert np.all(scores.standard_error > 0), f"after {asked.sum()} equal responses it is certain: {scores}"
    assert scores.mean[0] > scores.mean[1], f"all right gave {scores.mean[0]}, all wrong {scores.mean[1]}"
    _are_shares("predicted responses", subject.usual.predict(given), given.shape)
    _asked_for(subject.usual, given, 3)


def check_company(subject: Subject) -> None:
    """What is said of a candidate does not depend on who is asked beside it."""
    responses = _responses()
    together, items = subject.usual.estimate(responses), subject.usual.next_items(responses, 3)
    predicted = subject.usual.predict(responses)
    for row in range(len(responses)):
        alone = responses[row : row + 1]
        _are_same("the estimate of a candidate alone", subject.usual.estimate(alone).mean, together.mean[row])
        error = subject.usual.estimate(alone).standard_error
        _are_same("the standard error of a candidate alone", error, together.standard_error[row])
        _are_same("predictions for a candidate alone", subject.usual.predict(alone)[0], predicted[row])
        assert np.array_equal(subject.usual.next_items(alone, 3)[0], items[row]), "alone it is asked other items"


def check_kept(subject: Subject) -> None:
    """What was learned can be kept in an npz file without objects, and answers the same when it is read."""
    file = io.BytesIO()
    arrays: dict[str, Any] = dict(subject.usual.state())
    np.savez(file, **arrays)
    file.seek(0)
    with np.load(file, allow_pickle=False) as stored:
        try:
            state = {name: stored[name] for name in stored.files}
        except ValueError as error:
            raise AssertionError(f"`state` holds objects: {error}") from error
    other, responses = subject.usual.fresh(), _responses()
    other.restore(state)
    for given in (responses, np.full_like(responses, np.nan)):
        before, after = subject.usual.estimate(given), other.estimate(given)
        _are_same("estimates of a restored one", after.mean, before.mean)
        _are_same("standard errors of a restored one", after.standard_error, before.standard_error)
        _are_same("predictions of a restored one", other.predict(given), subject.usual.predict(given))
        assert np.array_equal(other.next_items(given, 4), subject.usual.next_items(given, 4)), "it asks for other items"


def check_odd_references(subject: Subject) -> None:
    """References of real numbers, with gaps, all alike, unequally important, or as few as may be."""
    usual = some_references()
    gaps = usual.responses.copy()
    gaps[-3:, ::2] = np.nan
    alike = np.tile(usual.responses[:1], (REFERENCES, 1))
    few = subject.usual.least_references
    for what, references in {
        "real numbers": some_references(continuous=True),
        "gaps in some rows": replace(usual, responses=gaps),
        "models that are all alike": replace(usual, responses=alike),
        "models that are all right": replace(usual, responses=np.ones_like(alike)),
        "unequal importance": replace(usual, importance=np.where(np.arange(REFERENCES) < 20, 1.0, 9.0)),
        "as few models as it says it needs": usual.take(np.arange(few)),
    }.items():
        found = subject.fitted(references)
        try:
            for given in (_responses(), _responses(continuous=True), np.full((2, ITEMS), np.nan)):
                _is_scores(found.estimate(given), len(given))
                _are_shares("predicted responses", found.predict(given), given.shape)
                _asked_for(found, given, 4)
        except Exception as error:
            raise AssertionError(f"fitted to references with {what}: {error!r}") from error


def check_too_few(subject: Subject) -> None:
    """Fewer references than it needs are refused in words."""
    least = subject.usual.least_references
    if least == 0:
        return
    made = subject.estimator(seed=1, **subject.options)
    try:
        made.fit(some_references().take(np.arange(least - 1)))
    except ConfigurationError:
        return
    except Exception as error:
        raise AssertionError(f"with {least - 1} references it raised {error!r}, not a ConfigurationError") from error
    raise AssertionError(f"`least_references` is {least}, yet {least - 1} were enough; a ConfigurationError was due")


CHECKS: tuple[Callable[[Subject], None], ...] = (
    check_identity,
    check_figures,
    check_determinism,
    check_items,
    check_everything_asked,
    check_extremes,
    check_company,
    check_kept,
    check_odd_references,
    check_too_few,
)


def _responses(continuous: bool = False) -> Matrix:
    rng = np.random.default_rng(3)
    return partly_asked(some_answers(CANDIDATES, ITEMS, rng, continuous), rng)


def _asked_for(estimator: Estimator, responses: Matrix, count: int) -> Places:
    """What it asks for next, which is as the contract says."""
    items = estimator.next_items(responses, count)
    left = int(np.isnan(responses).sum(axis=1).min(initial=responses.shape[1]))
    due = (len(responses), min(count, left))
    assert items.shape == due, f"asked for {count} items of {left} it gave shape {items.shape}, not {due}"
    assert np.issubdtype(items.dtype, np.integer), f"items are {items.dtype}, not integers"
    assert np.all((items >= 0) & (items < responses.shape[1])), "it asks for items that there are not"
    assert np.all(np.isnan(np.take_along_axis(responses, items, axis=1))), "it asks again what was asked"
    assert all(len(set(row)) == len(row) for row in items.tolist()), "it asks for an item twice at once"
    return items


def _is_scores(scores: Scores, candidates: int) -> None:
    _are_shares("means", scores.mean, (candidates,))
    assert scores.standard_error.shape == (candidates,), f"standard errors have shape {scores.standard_error.shape}"
    sound = np.isfinite(scores.standard_error) & (scores.standard_error >= 0)
    assert np.all(sound), f"a standard error is {scores.standard_error[~sound][0]}"


def _are_shares(what: str, values: Matrix, shape: tuple[int, ...]) -> None:
    assert values.shape == shape, f"{what} have shape {values.shape}, not {shape}"
    sound = (values >= 0) & (values <= 1)
    assert np.all(sound), f"of the {what}, one is {values[~sound].flat[0]}, not between 0 and 1"


def _are_same(what: str, found: Matrix, due: npt.ArrayLike) -> None:
    near = np.allclose(found, due, rtol=0.0, atol=ROUNDING)
    assert near, f"{what} differ by {np.abs(np.asarray(found) - np.asarray(due)).max()}"
