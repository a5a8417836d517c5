"""A race: candidates answer items side by side, round by round, until it is clear which of them are the best.

The first round is for all. Then, as in successive halving (Karnin et al., 2013), each round costs half of the first,
and who goes on doubles its items; but who goes on is not the better half: it is those for whom an answer tells most
about who is among the best (optimal budget allocation for a subset: Chen et al., 2008). One that is clearly among
them, or clearly not, is asked no more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..core.contracts.estimator import Matrix, Places
from ..core.errors import ConfigurationError
from .panel import Panel, Standing, random_items
from .race_order import best_first, doubt


@dataclass(frozen=True)
class RaceRule:
    """How a race is run.

    Attributes:
        first: items that every candidate is asked in the first round.
        most: items that a candidate is asked at most; where it is `first`, there is no second round.
        keep: what each later round costs, as a share of the first.
        best: how many candidates the race is to find, and of them the very best; at most half of all.
        clear: a chance so small counts as none.
    """

    first: int = 5
    most: int = 80
    keep: float = 0.5
    best: int = 5
    clear: float = 0.005

    def __post_init__(self) -> None:
        if not 1 <= self.first <= self.most:
            raise ConfigurationError(
                f"a race asks first {self.first} items and then at most {self.most}: give 1 <= first <= most"
            )
        if not 0 < self.keep < 1:
            raise ConfigurationError(f"each later round costs the share {self.keep:g}: give one between 0 and 1")
        if self.best < 1:
            raise ConfigurationError(f"a race finds the best {self.best}: give 1 or more")

    @property
    def average(self) -> float:
        """Items per candidate that the race spends at most: what halving spends until one has been asked `most`."""
        return self.first * (1.0 + self.keep * math.log2(self.most / self.first))


class Race:
    """Candidates that race: `ask`, `tell`, until `ask` gives nothing. Deterministic; knows no models.

    Attributes:
        responses: shape (candidates, items): so far, NaN where not asked.
        random: shape (candidates, items): which of the items asked were drawn at random.
        failed: shape (candidates,): who left because of a failure.
    """

    def __init__(
        self, panel: Panel, candidates: int, rule: RaceRule | None = None, known: Matrix | None = None
    ) -> None:
        """Begins a race.

        Args:
            known: shape (candidates, k): further objectives, exact, larger is better (bytes, with a minus).

        Raises:
            ConfigurationError: `known` is not for so many candidates.
        """
        self.panel = panel
        self.rule = rule or RaceRule()
        self.known: Matrix = np.empty((candidates, 0)) if known is None else np.asarray(known, np.float64)
        if self.known.ndim != 2 or len(self.known) != candidates:
            raise ConfigurationError(f"known objectives of shape {self.known.shape} for {candidates} candidates")
        self.responses: Matrix = np.full((candidates, panel.items), np.nan)
        self.random: npt.NDArray[np.bool_] = np.zeros((candidates, panel.items), np.bool_)
        self.failed: npt.NDArray[np.bool_] = np.zeros(candidates, np.bool_)
        self._begun = False
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
        mean, _ = self._objectives(np.arange(len(self.responses)))
        places = best_first(mean)
        return np.concatenate([places[~self.failed[places]], places[self.failed[places]]])

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
        if not self._begun:
            self._begun = True
            counts = np.full(rows.size, self.rule.first)
        else:
            counts = self._counts(rows)
        found: dict[int, Places] = {}
        for count in np.unique(counts[counts > 0]):
            group = rows[counts == count]
            items = self.panel.next_items(self.responses[group], int(count), group.tolist())
            found |= {int(row): places for row, places in zip(group, items, strict=True) if places.size}
        return dict(sorted(found.items()))

    def _counts(self, rows: Places) -> Places:
        """How many items to ask each of these candidates now: as many as it was asked, or none."""
        counts = np.zeros(rows.size, np.intp)
        asked = self.asked[rows]
        left = math.floor(self.rule.average * rows.size) - int(asked.sum())
        if rows.size < 2 or left <= 0:
            return counts
        mean, error = self._objectives(rows)
        most = max(1, min(self.rule.best, rows.size // 2))
        found = [doubt(mean, error, best, self.panel.seed) for best in sorted({1, most})]
        chance = np.max([one.chance for one in found], axis=0)
        regret = np.sum([one.regret for one in found], axis=0)
        cost = np.minimum(asked, np.minimum(self.rule.most, self.panel.items) - asked)
        open_ = (chance > self.rule.clear) & (cost > 0)
        worth = regret / np.maximum(cost, 1)
        share = math.ceil(self.rule.keep * self.rule.first * rows.size)
        for place in np.argsort(-worth, kind="stable"):
            # a small race's round may be too short for anyone: then one goes on
            limit = min(left, share) if counts.any() else left
            if open_[place] and counts.sum() + cost[place] <= limit:
                counts[place] = cost[place]
        return counts
