"""A race: candidates answer items side by side, round by round, until it is clear which of them are the best.

Successive halving (Karnin et al., 2013; Jamieson and Talwalkar, 2016), on estimates that have a standard error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..core.contracts.estimator import Matrix, Places
from ..core.errors import ConfigurationError
from .panel import Panel, Standing


@dataclass(frozen=True)
class RaceRule:
    """How a race is run.

    Attributes:
        first: items that every candidate is asked in the first round; each round doubles what a candidate was asked.
        most: items that a candidate is asked at most.
        keep: share of a round's candidates that goes on to the next, between 0 and 1.
        best: how many candidates the race is to find.
        clear: how many standard errors of a difference say which of two candidates is better.
    """

    first: int = 5
    most: int = 80
    keep: float = 0.5
    best: int = 5
    clear: float = 2.0

    def __post_init__(self) -> None:
        if not 1 <= self.first <= self.most:
            raise ConfigurationError(
                f"a race asks first {self.first} items, then at most {self.most}: give 1 <= first <= most"
            )
        if not 0 < self.keep < 1:
            raise ConfigurationError(f"the share of candidates that goes on is {self.keep:g}: give one between 0 and 1")


class Race:
    """Candidates that race: `ask`, `tell`, until `ask` gives nothing. Deterministic; knows no models.

    Attributes:
        responses: shape (candidates, items): so far, NaN where not asked.
        failed: shape (candidates,): who left because of a failure.
    """

    def __init__(self, panel: Panel, candidates: int, rule: RaceRule | None = None) -> None:
        self.panel = panel
        self.rule = rule or RaceRule()
        self.responses: Matrix = np.full((candidates, panel.items), np.nan)
        self.failed: npt.NDArray[np.bool_] = np.zeros(candidates, np.bool_)
        self._running = np.arange(candidates)
        self._waiting: dict[int, Places] | None = None

    @property
    def asked(self) -> Places:
        """Shape (candidates,): how many items each was asked."""
        return np.asarray(np.isfinite(self.responses).sum(axis=1), np.intp)

    def ask(self) -> dict[int, Places]:
        """By candidate, the places in the pool of the items to ask now; empty when the race is over.

        The same again until it is told.
        """
        if self._waiting is None:
            self._waiting = self._next_round()
        return dict(self._waiting)

    def tell(self, answers: Mapping[int, Matrix | None]) -> None:
        """Takes the responses to what was asked, in its order, in [0, 1].

        A candidate that is missing or None, or has a response that is not a number, failed and leaves the race.

        Raises:
            ConfigurationError: a candidate was not asked, or the responses are not one per item.
        """
        waiting = self._waiting or {}
        for number, answer in answers.items():
            if number not in waiting:
                raise ConfigurationError(f"candidate {number} was not asked; tell what `ask` gave")
            if answer is not None and np.shape(answer) != waiting[number].shape:
                raise ConfigurationError(
                    f"candidate {number} was asked {waiting[number].size} items; "
                    f"its responses are of shape {np.shape(answer)}"
                )
        for number, places in waiting.items():
            answer = answers.get(number)
            if answer is None or not np.all(np.isfinite(answer)):
                self.failed[number] = True
            else:
                self.responses[number, places] = answer
        self._waiting = None
        self._running = self._going_on()

    def scores(self) -> Standing:
        """Each candidate's scores of tasks and objectives, with standard errors; see `Standing`."""
        return self.panel.estimate(self.responses)

    def order(self) -> Places:
        """The candidates, best first; those that failed come last."""
        scores = self.scores()
        signs = np.array([aim.sign for aim in self.panel.objectives])
        places = best_first(scores.mean * signs)
        return np.concatenate([places[~self.failed[places]], places[self.failed[places]]])

    def _next_round(self) -> dict[int, Places]:
        asked = self.asked
        found: dict[int, Places] = {}
        for done in np.unique(asked[self._running]):
            rows = self._running[asked[self._running] == done]
            count = min(max(int(done), self.rule.first), self.rule.most - int(done))
            if count > 0:
                items = self.panel.next_items(self.responses[rows], count, rows.tolist())
                found |= {int(row): places for row, places in zip(rows, items, strict=True) if places.size}
        return found

    def _going_on(self) -> Places:
        """Who is asked more."""
        order = self.order()
        running = order[np.isin(order, self._running) & ~self.failed[order]]
        if running.size < 2:
            return np.empty(0, np.intp)
        return np.sort(running[: max(1, int(np.ceil(self.rule.keep * running.size)))])


def best_first(values: Matrix) -> Places:
    """The rows of `values`, shape (candidates, objectives), larger is better, in order.

    By the only objective; or, of several, by how many fronts lie before (non-dominated sorting), and within a front by
    the sum of the objectives, each scaled to its range.
    """
    if values.shape[1] == 1:
        return np.argsort(-values[:, 0], kind="stable")
    low, high = values.min(axis=0, initial=np.inf), values.max(axis=0, initial=-np.inf)
    total = ((values - low) / np.where(high > low, high - low, 1.0)).sum(axis=1)
    return np.lexsort((-total, fronts(values)))


def fronts(values: Matrix) -> Places:
    """Shape (candidates,): 0 for those that none dominates, 1 for those that only front 0 dominates, and so on."""
    not_worse = np.all(values[:, None] >= values[None], axis=2)
    better: npt.NDArray[np.bool_] = not_worse & ~not_worse.T
    front = np.full(len(values), -1, np.intp)
    number = 0
    while (front < 0).any():
        free = np.flatnonzero(front < 0)
        front[free[~better[np.ix_(free, free)].any(axis=0)]] = number
        number += 1
    return front
