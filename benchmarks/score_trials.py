"""One trial: an estimator learns from the references of a split, and asks the models held out few items each."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from heterosis.core import registry
from heterosis.core.contracts.estimator import Estimator, Matrix, References

from .response_splits import SPLITS
from .score_measures import measures

Figures = dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """What is tried: several estimators on one split of one matrix.

    Attributes:
        counts: numbers of items asked, rising.
    """

    matrix: str
    split: str
    repeat: int
    estimators: Mapping[str, tuple[str, Mapping[str, Any]]]
    counts: Sequence[int]

    def run(self, responses: Matrix) -> list[Figures]:
        """The figures of each estimator after each number of items."""
        lots = np.random.default_rng([self.repeat, *self.matrix.encode()])
        split = SPLITS[self.split](responses, lots)
        truth = split.answers @ split.references.weights
        found = []
        for label, (name, options) in self.estimators.items():
            estimator: Estimator = registry.load("estimators", name)(seed=self.repeat, **options)
            started = time.perf_counter()
            estimator.fit(split.references)
            fitted = time.perf_counter() - started
            seen = np.full_like(split.answers, np.nan)
            for count in self.counts:
                ask(estimator, split.answers, seen, count)
                started = time.perf_counter()
                scores = estimator.estimate(seen)
                estimated = (time.perf_counter() - started) / len(seen)
                found.append(
                    {
                        "matrix": self.matrix,
                        "split": self.split,
                        "repeat": self.repeat,
                        "estimator": label,
                        "items": count,
                        **measures(scores, truth, count),
                        "fit_seconds": fitted,
                        "estimate_milliseconds": 1000 * estimated,
                        "choice": getattr(estimator, "choice", ""),
                    }
                )
        return found


def ask(estimator: Estimator, answers: Matrix, seen: Matrix, count: int) -> None:
    """Fills in responses until so many items were asked; one by one where the next depends on the responses so far."""
    asked = int(np.isfinite(seen[0]).sum())
    while asked < count:
        places = estimator.next_items(seen, 1 if estimator.adaptive else count - asked)
        np.put_along_axis(seen, places, np.take_along_axis(answers, places, axis=1), axis=1)
        asked += places.shape[1]


def seconds(name: str, options: Mapping[str, Any], references: References, answers: Matrix, count: int) -> Figures:
    """To fit, and per candidate to choose an item and to estimate from `count` of them."""
    estimator: Estimator = registry.load("estimators", name)(seed=0, **options)
    started = time.perf_counter()
    estimator.fit(references)
    fitted = time.perf_counter()
    seen = np.full_like(answers, np.nan)
    ask(estimator, answers, seen, count)
    asked = time.perf_counter()
    estimator.estimate(seen)
    estimated = time.perf_counter()
    return {
        "fit_seconds": fitted - started,
        "ask_milliseconds": 1000 * (asked - fitted) / count / len(answers),
        "estimate_milliseconds": 1000 * (estimated - asked) / len(answers),
    }
