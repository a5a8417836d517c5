"""A panel: the estimators of several tasks as one pool of items, and the objectives that are read off it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..core.contracts.estimator import Estimator, Matrix, Places, Scores
from ..core.errors import ConfigurationError, did_you_mean

RANDOM = 10
"""Of so many items that a candidate is asked, the last is drawn at random: what drift is found by."""


def random_items(done: int, count: int) -> int:
    """How many of the next `count` items are random, for a candidate that was asked `done`: the last of them."""
    return (done + count) // RANDOM - done // RANDOM


@dataclass(frozen=True)
class Aim:
    """An objective: the mean of the tasks' scores, each counted the same.

    Attributes:
        sign: 1 to maximise it, -1 to minimise it.
    """

    tasks: tuple[str, ...]
    sign: int = 1


@dataclass(frozen=True)
class Standing:
    """What is known of candidates.

    Attributes:
        tasks: by task, the candidates' scores.
        mean, standard_error: shape (candidates, objectives), of the objectives.
    """

    tasks: Mapping[str, Scores]
    mean: Matrix
    standard_error: Matrix


class Panel:
    """Several tasks, whose items stand one after another in a pool.

    Attributes:
        estimators: by task, fitted.
        objectives: what candidates are compared by.
        parts: by task, its part of the pool.
        items: how many the pool holds.
    """

    def __init__(
        self,
        estimators: Mapping[str, Estimator],
        items: Mapping[str, int],
        objectives: Sequence[Aim],
        seed: int = 0,
        rotation: int | None = None,
    ) -> None:
        """Joins tasks.

        Args:
            items: by task, how many its estimator was fitted to.
            rotation: of each task's items only so many, drawn anew for each lot, are open to an estimator that asks
                all candidates the same. A search that asks all its candidates the same few items learns those
                items by heart. Default: all are open.

        Raises:
            ConfigurationError: there is no objective, or one of a task without an estimator.
        """
        if not objectives:
            raise ConfigurationError("nothing to compare candidates by: give at least one objective")
        for aim in objectives:
            if not aim.tasks:
                raise ConfigurationError("an objective of no task cannot be estimated from responses")
            for task in aim.tasks:
                if task not in estimators:
                    raise ConfigurationError(f"no estimator for the task {task!r}. {did_you_mean(task, estimators)}")
        self.estimators = dict(estimators)
        self.objectives = tuple(objectives)
        self.seed = seed
        self.rotation = rotation
        ends = np.cumsum([items[task] for task in estimators]).tolist()
        starts = [0, *ends[:-1]]
        self.parts = {task: slice(start, end) for task, start, end in zip(estimators, starts, ends, strict=True)}
        self.items: int = ends[-1]

    def by_task(self, places: Places) -> dict[str, Places]:
        """Places in the pool as places among each task's items, in the same order; only tasks that have some."""
        found = {
            task: places[(part.start <= places) & (places < part.stop)] - part.start
            for task, part in self.parts.items()
        }
        return {task: items for task, items in found.items() if items.size}

    def next_items(self, responses: Matrix, count: int, lots: Sequence[int]) -> list[Places]:
        """What to ask next: the tasks in turn, what their estimators want, and every tenth item at random.

        Args:
            responses: shape (candidates, items): so far, NaN where not asked.
            lots: of the candidates; those of equal lots get the same random items, and have the same items open.

        Returns:
            For each candidate `count` places in the pool (fewer where fewer are left), none asked before.
        """
        asked = np.stack([np.isfinite(responses[:, part]).sum(axis=1) for part in self.parts.values()], axis=1)
        alike = np.concatenate([asked, np.reshape(lots, (-1, 1)) if self.rotation else 0 * asked[:, :1]], axis=1)
        found: list[Places] = [np.empty(0, np.intp)] * len(responses)
        for *done, lot in np.unique(alike, axis=0).tolist():
            rows = np.flatnonzero((alike == [*done, lot]).all(axis=1))
            wanted, random = self._turns(np.array(done, np.intp), count)
            chosen = self._chosen(self._open(responses[rows], wanted, lot), wanted)
            for row, places in zip(rows, chosen, strict=True):
                found[row] = self._with_random(np.isfinite(responses[row]), places, random, sum(done), lots[int(row)])
        return found

    def estimate(self, responses: Matrix) -> Standing:
        """Scores of tasks and objectives from responses, shape (candidates, items); tasks count as independent."""
        tasks = {task: self.estimators[task].estimate(responses[:, part]) for task, part in self.parts.items()}
        mean = np.stack([np.mean([tasks[task].mean for task in aim.tasks], axis=0) for aim in self.objectives], axis=1)
        error = np.stack(
            [
                np.sqrt(np.sum([tasks[task].standard_error ** 2 for task in aim.tasks], axis=0)) / len(aim.tasks)
                for aim in self.objectives
            ],
            axis=1,
        )
        return Standing(tasks, mean, error)

    def _turns(self, done: Places, count: int) -> tuple[Places, list[int]]:
        """How many items of each task its estimator chooses, and the tasks (by place) of which one is random."""
        sizes = np.array([part.stop - part.start for part in self.parts.values()])
        left = sizes - done
        wanted = np.zeros(len(sizes), np.intp)
        random: list[int] = []
        first = int(done.sum())
        for question in range(first, first + min(count, int(left.sum()))):
            # each round of the tasks begins one task later, so that random items fall on all of them
            turn = question + question // len(sizes)
            task = next(t % len(sizes) for t in range(turn, turn + len(sizes)) if left[t % len(sizes)])
            left[task] -= 1
            if question % RANDOM == RANDOM - 1:
                random.append(task)
            else:
                wanted[task] += 1
        return wanted, random

    def _open(self, responses: Matrix, wanted: Places, lot: int) -> Matrix:
        """The responses, as if what is not open to this lot had been answered: so it is not asked."""
        if not self.rotation:
            return responses
        shown = responses.copy()
        for place, ((task, part), count) in enumerate(zip(self.parts.items(), wanted.tolist(), strict=True)):
            if self.estimators[task].adaptive:  # which asks every candidate other items by itself
                continue
            drawn = np.random.default_rng([self.seed, lot, place]).permutation(part.stop - part.start)
            closed = part.start + drawn[self.rotation :]
            left = np.isnan(responses[:, part]).sum(axis=1) - np.isnan(responses[:, closed]).sum(axis=1)
            if left.min(initial=part.stop) >= count:
                shown[:, closed] = 0.0
        return shown

    def _chosen(self, responses: Matrix, wanted: Places) -> Places:
        """Shape (candidates, sum of `wanted`): what the estimators choose."""
        chosen = [
            part.start + self.estimators[task].next_items(responses[:, part], int(number))
            for (task, part), number in zip(self.parts.items(), wanted, strict=True)
            if number
        ]
        return np.concatenate(chosen, axis=1) if chosen else np.empty((len(responses), 0), np.intp)

    def _with_random(
        self,
        asked: np.ndarray[tuple[int], np.dtype[np.bool_]],
        chosen: Places,
        tasks: list[int],
        done: int,
        lot: int,
    ) -> Places:
        """What was chosen, and an item at random of each of these tasks."""
        if not tasks:
            return chosen
        generator = np.random.default_rng([self.seed, lot, done])
        free = ~asked
        free[chosen] = False
        parts = list(self.parts.values())
        drawn: list[int] = []
        for task in tasks:
            place = int(generator.choice(parts[task].start + np.flatnonzero(free[parts[task]])))
            free[place] = False
            drawn.append(place)
        return np.concatenate([chosen, np.array(drawn, np.intp)])
