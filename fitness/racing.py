"""A race: candidates answer items side by side, round by round, until it is clear which of them are the best.

Successive halving (Karnin et al., 2013): the first round is for all, each next one for half as many and with twice the
items. But it is not the better half that goes on: it is the half for which answers tell most about who is among the
best (as in optimal budget allocation for a subset: Chen et al., 2008). One that clearly is, or clearly is not, is asked
no more; where that holds for all, the race is over.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..core.contracts.estimator import Matrix, Places
from ..core.errors import ConfigurationError
from .panel import Panel, Standing, random_items
from .race_order import best_first, regrets


@dataclass(frozen=True)
class RaceRule:
    """How a race is run.

    Attributes:
        first: items that every candidate is asked in the first round.
        most: items that a candidate is asked at most; where it is `first`, there is no second round.
        keep: share of a round's candidates that the next is for; each next round doubles what they were asked.
        best: how many candidates the race is to find, and of them the very best; at most half of all.
    """

    first: int = 5
    most: int = 80
    keep: float = 0.5
    best: int = 5

    def __post_init__(self) -> None:
        if not 1 <= self.first <= self.most:
            raise ConfigurationError(
                f"a race asks first {self.first} items and then at most {self.most}: give 1 <= first <= most"
            )
        if not 0 < self.keep < 1:
            raise ConfigurationError(f"the share {self.keep:g} goes on: give one between 0 and 1")
        if self.best < 1:
            raise ConfigurationError(f"a race finds the best {self.best}: give 1 or more")


class Race:
    """Candidates that race: `ask`, `tell`, until `ask` gives nothing. Deterministic; knows no models.

    Attributes:
        responses: shape (candidates, items): so far, NaN where not asked.
        random: shape (candidates, items): which of the items asked were drawn at random.
        failed: shape (candidates,): who left because of a failure.
    """

    def __init__(
        self,
        panel: Panel,
        candidates: int,
        rule: RaceRule | None = None,
        known: Matrix | None = None,
        lots: Sequence[int] | None = None,
    ) -> None:
        """Begins a race.

        Args:
            known: shape (candidates, k): further objectives, exact, larger is better (bytes, with a minus).
            lots: by candidate, what its random items are drawn by; equal ones draw the same. Default: each its own.

        Raises:
            ConfigurationError: `known` is not for so many candidates.
        """
        self.panel = panel
        self.rule = rule or RaceRule()
        self.known: Matrix = np.empty((candidates, 0)) if known is None else np.asarray(known, np.float64)
        if self.known.ndim != 2 or len(self.known) != candidates:
            raise ConfigurationError(f"known objectives of shape {self.known.shape} for {candidates} candidates")
        self._lots = list(range(candidates)) if lots is None else list(lots)
        self.responses: Matrix = np.full((candidates, panel.items), np.nan)
        self.random: npt.NDArray[np.bool_] = np.zeros((candidates, panel.items), np.bool_)
        self.failed: npt.NDArray[np.bool_] = np.zeros(candidates, np.bool_)
        self._round = 0
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
                done = int(np.isfinite(self.responses[number]).sum())
                self.responses[number, places] = answer
                self.random[number, places[places.size - random_items(done, places.size) :]] = True
        self._waiting = None

    def scores(self) -> Standing:
        """Each candidate's scores of tasks and objectives, with standard errors; see `Standing`."""
        return self.panel.estimate(self.responses)

    def order(self) -> Places:
        """The candidates, best first; those that failed come last."""
        rows = np.flatnonzero(~self.failed)
        mean, _ = self._objectives(rows)
        return np.concatenate([rows[best_first(mean)], np.flatnonzero(self.failed)])

    def _objectives(self, rows: Places) -> tuple[Matrix, Matrix]:
        """Means and standard errors, larger is better, the known ones included."""
        scores = self.panel.estimate(self.responses[rows])
        signs = np.array([aim.sign for aim in self.panel.objectives])
        return (
            np.concatenate([scores.mean * signs, self.known[rows]], axis=1),
            np.concatenate([scores.standard_error, np.zeros_like(self.known[rows])], axis=1),
        )

    def _next_round(self) -> dict[int, Places]:
        rows = np.flatnonzero(~self.failed)
        count = self.rule.first
        if self._round > 0:
            if count * 2 ** (self._round - 1) >= min(self.rule.most, self.panel.items):
                return {}
            rows = self._in_doubt(rows, math.ceil(self.rule.keep**self._round * rows.size))
            count *= 2 ** (self._round - 1)
        self._round += 1
        counts = np.minimum(count, self.rule.most - self.asked[rows])
        found: dict[int, Places] = {}
        for count in np.unique(counts[counts > 0]).tolist():
            group = rows[counts == count]
            items = self.panel.next_items(self.responses[group], count, [self._lots[row] for row in group])
            found |= {int(row): places for row, places in zip(group, items, strict=True) if places.size}
        return dict(sorted(found.items()))

    def _in_doubt(self, rows: Places, number: int) -> Places:
        """At most so many of these candidates, for whom answers tell most; none that is clear or cannot be asked.

        Of the better ones, up to twice as many are considered, all with the standard error that is usual among them:
        one that is estimated badly would else seem to be in doubt wherever it stands.
        """
        if rows.size < 2:
            return rows[:0]
        mean, error = self._objectives(rows)
        near = best_first(mean)[: 2 * number]
        best = max(1, min(self.rule.best, rows.size // 2))
        usual = np.broadcast_to(np.median(error[near], axis=0), error.shape)
        regret = np.sum([regrets(mean, usual, edge) for edge in sorted({1, best})], axis=0)
        regret[self.asked[rows] >= min(self.rule.most, self.panel.items)] = 0.0
        chosen = near[np.argsort(-regret[near], kind="stable")[:number]]
        return np.sort(rows[chosen[regret[chosen] > 0]])
