"""Estimator `auto`: the one that suits the number of references there are, if it wins where it was not fitted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ...core import registry
from ...core.contracts.estimator import Estimator, Matrix, Places, References, Scores
from .base import CalibratedEstimator
from .held_out import HeldOut, held_out
from .intervals import Calibration

FALLBACK = "stratified_mean"
FEW, SOME = 5, 16
"""From so many complete references on, items have statistics; from so many on, they have response models."""
LIKELY = (10, 20, 50)
"""Numbers of items at which the choice has to win: those that candidates are usually asked."""

Described = tuple[str, Mapping[str, Any]]
STATISTICS: Described = ("average", {"estimators": ["blup", "p_irt"]})


class Auto(Estimator):
    """Chooses by how many references have answered every item, and checks the choice on references held out.

    None: the stratified mean. 1 to 4: paired differences. 5 to 15: the mean of greedy BLUP and one-dimensional p-IRT.
    More: the c-optimal 2PL, which asks each candidate other items, or greedy BLUP where candidates go in batches. The
    stratified mean takes over where the choice's mean absolute error on references held out (the same folds that
    calibrate the intervals) is not lower.

    Args:
        batches: whether candidates go in batches, so that all should be asked the same items.

    Attributes:
        choice: the chosen estimator's name and options, as a user would write them.
        reasons: why it was chosen, one sentence each.
    """

    name: ClassVar[str] = "auto"

    chosen: CalibratedEstimator
    choice: str
    reasons: tuple[str, ...]

    def __init__(self, seed: int = 0, batches: bool = False) -> None:
        super().__init__(seed, batches=batches)
        self.batches = batches
        self._take(FALLBACK, {})
        self.reasons = ()

    def fit(self, references: References) -> None:
        """Chooses, checks and learns; see the contract."""
        complete = int(references.complete.sum())
        first, why = _suited(complete, self.batches)
        self._take(*first)
        self.reasons = (f"{complete} models have answered every item: {why}",)
        tried = _tried(self.chosen, references)
        if first[0] != FALLBACK:
            plain = _made(FALLBACK, {}, self.seed)
            tried_plain = _tried(plain, references)
            won, told = _compared(tried, tried_plain)
            self.reasons = (*self.reasons, told)
            if not won:
                self._take(FALLBACK, {}, plain)
                tried = tried_plain
        self.chosen.calibration = Calibration.of(tried)

    def _take(self, name: str, options: Mapping[str, Any], made: CalibratedEstimator | None = None) -> None:
        self.chosen = _made(name, options, self.seed) if made is None else made
        self.adaptive = self.chosen.adaptive
        self._described = (name, dict(options))
        written = ", ".join(f"{key}: {value}" for key, value in options.items())
        self.choice = f"{name} ({written})" if written else name

    def next_items(self, responses: Matrix, count: int) -> Places:
        """The chosen one's; see the contract."""
        return self.chosen.next_items(responses, count)

    def estimate(self, responses: Matrix) -> Scores:
        """The chosen one's; see the contract."""
        return self.chosen.estimate(responses)

    def predict(self, responses: Matrix) -> Matrix:
        """The chosen one's; see the contract."""
        return self.chosen.predict(responses)

    def state(self) -> Mapping[str, npt.NDArray[Any]]:
        """What was chosen, and what that has learnt; see the contract."""
        described = np.array(json.dumps(self._described))
        chosen = {f"chosen.{key}": value for key, value in self.chosen.state().items()}
        return {"choice": described, "reasons": np.array(self.reasons, dtype=np.str_), **chosen}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Takes over what `state` gave; see the contract."""
        name, options = json.loads(str(state["choice"]))
        self._take(name, options)
        self.reasons = tuple(str(reason) for reason in state["reasons"])
        start = "chosen."
        self.chosen.restore({key.removeprefix(start): state[key] for key in state if key.startswith(start)})


def _suited(complete: int, batches: bool) -> tuple[Described, str]:
    """What suits so many complete references, and why."""
    if complete == 0:
        return (FALLBACK, {}), "items are only known by their strata"
    if complete < FEW:
        return ("paired_difference", {}), "too few for statistics of items, enough to compare with"
    if complete < SOME:
        return STATISTICS, "items have statistics, but several abilities cannot be told apart"
    if batches:
        return ("blup", {}), "candidates go in batches, which are asked the same items"
    return ("c_optimal", {}), "enough for a response model of several abilities"


def _tried(estimator: CalibratedEstimator, references: References) -> HeldOut:
    """Fits it, and shows how it does where it was not fitted."""
    estimator.fit_uncalibrated(references)
    return held_out(estimator, references)


def _compared(tried: HeldOut, plain: HeldOut) -> tuple[bool, str]:
    """Whether the choice wins against the fallback where both were held out, and a sentence that says so."""
    likely = np.isin(tried.counts, LIKELY) if np.isin(tried.counts, LIKELY).any() else np.ones(len(tried.counts), bool)
    if not len(tried.truth) or not len(plain.truth) or not likely.any():
        return True, "too few models or items to hold some out: not checked"
    own, other = 100.0 * float(tried.error[likely].mean()), 100.0 * float(plain.error[likely].mean())
    told = f"on models held out its error is {own:.2f} points, the stratified mean's {other:.2f}"
    return own < other, told


def _made(name: str, options: Mapping[str, Any], seed: int) -> CalibratedEstimator:
    found: CalibratedEstimator = registry.load("estimators", name)(seed=seed, **options)
    return found
