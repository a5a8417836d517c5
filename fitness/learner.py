"""What a study knows of its items: models that have answered all of them, and the estimators fitted to those."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from ..core.contracts.estimator import Estimator, Matrix, References
from ..core.fitness_spec import AUTO, FitnessSpec
from ..core.seeds import derived_seed
from .estimators.files import make
from .panel import Aim, Panel

OWN_SHARE = 0.2
"""However many other models were imported, the study's own count at least so much together."""

OPEN = 0.25
"""Each ask may be asked such a share of a task's items (but at least twice as many as a candidate may be asked)."""


class Learner:
    """Rows of whole answers come in; a panel of estimators, fitted to all of them so far, comes out.

    Args:
        items: by task, the ids of its items.
        aims: the objectives that candidates race for.
        imported: by task, responses of other models, shape (models, items), in the order of the ids.
        seed: everything random follows from it.
    """

    def __init__(
        self,
        spec: FitnessSpec,
        items: Mapping[str, Sequence[str]],
        aims: Sequence[Aim],
        imported: Mapping[str, Matrix],
        seed: int,
    ) -> None:
        self._spec = spec
        self._aims = aims
        self._seed = seed
        self._imported = imported
        self._rows: dict[str, list[Matrix]] = {task: [] for task in items}
        self._sources = 0
        self._panel: Panel | None = None
        self.items = {task: tuple(ids) for task, ids in items.items()}
        self._places = {task: {id_: place for place, id_ in enumerate(ids)} for task, ids in self.items.items()}

    @property
    def rows(self) -> int:
        """How many models of the study have answered every item."""
        return min(len(rows) for rows in self._rows.values())

    def add_source(self, answers: Mapping[str, Mapping[str, float]]) -> None:
        """Learns from a model that candidates are merged from; sources come before all others."""
        assert self.rows == self._sources
        self.add(answers)
        self._sources += 1

    def add(self, answers: Mapping[str, Mapping[str, float]]) -> None:
        """Learns from a model's answers: by task and item id, its response to every item."""
        for task, rows in self._rows.items():
            rows.append(np.array([answers[task][id_] for id_ in self.items[task]]))
        self._panel = None

    def row(self, task: str, answers: Mapping[str, float]) -> Matrix:
        """Responses in the order of the task's items, NaN where there is none."""
        return np.array([answers.get(id_, np.nan) for id_ in self.items[task]])

    @property
    def panel(self) -> Panel:
        """Estimators fitted to all rows so far.

        Raises:
            ConfigurationError: the chosen estimator needs more rows than there are.
        """
        if self._panel is None:
            estimators = {task: self._fitted(task) for task in self.items}
            sizes = {task: len(ids) for task, ids in self.items.items()}
            rotation = max(math.ceil(OPEN * max(sizes.values())), 2 * self._spec.most)
            seed = derived_seed(self._seed, "fitness", "random")
            self._panel = Panel(estimators, sizes, self._aims, seed, rotation)
        return self._panel

    def _fitted(self, task: str) -> Estimator:
        # candidates come in batches, and are best compared on common items
        options = {"batches": True, **self._spec.options} if self._spec.estimator == AUTO else self._spec.options
        estimator = make(self._spec.estimator, options, derived_seed(self._seed, "fitness", task))
        own = self._rows[task]
        others = self._imported.get(task, np.empty((0, len(self.items[task]))))
        importance = np.ones(len(own) + len(others))
        if len(own) and len(others):
            share = max(OWN_SHARE, len(own) / len(importance))
            importance[: len(own)] = share / len(own)
            importance[len(own) :] = (1 - share) / len(others)
        responses = np.concatenate([np.reshape(own, (len(own), len(self.items[task]))), others])
        with threadpool_limits(1, user_api="blas"):  # for thin matrices, threads cost ten times what they save
            estimator.fit(References(responses, importance=importance, sources=tuple(range(self._sources))))
        return estimator
