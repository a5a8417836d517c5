"""Algorithms that work in whole generations, behind ask and tell in pieces of any size, or fed as results arrive."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from pymoo.config import Config
from pymoo.operators.sampling.lhs import sampling_lhs

from ...core.contracts import Direction, Proposal, Told
from ...core.gene_space import GeneSpace
from .box import Box
from .open_proposals import Open
from .turns import TurnTaking

Matrix = npt.NDArray[np.float64]

Config.warnings["not_compiled"] = False  # pymoo would print a banner about it


class GenerationalOptimizer(TurnTaking):
    """Hands out individuals of pymoo, and gives them back to the algorithm with their results.

    In turns, a generation is handed out in pieces, and the next one is bred once all of it has been told. In steady
    state, the first generation is handed out in pieces too, and then individuals that are bred one by one from what has
    been told by then.

    Failed candidates get a penalty that is kept worse than every result so far.

    Attributes:
        operator: how candidates are made, unless they carry an operator of their own.
        least_dimension: coordinates that mean nothing are added to spaces of fewer genes.
    """

    operator: ClassVar[str] = "sampling"
    least_dimension: ClassVar[int] = 1

    def __init__(self, space: GeneSpace, directions: Sequence[Direction], seed: int, **options: Any) -> None:
        super().__init__(space, directions, seed, **options)
        self._box = Box(space, self.least_dimension)
        self._signs = np.array([-1.0 if direction == "maximize" else 1.0 for direction in self.directions])
        self._worst = np.full(len(directions), -np.inf)
        self._starts = 0
        self._start()

    @abstractmethod
    def _initial_size(self) -> int:
        """How many candidates the first generation has, unless more are given."""

    @abstractmethod
    def _begin(self, initial: Matrix, seed: int) -> Any:
        """A new run of the algorithm: its first generation of the points `initial`, (candidates, dimension)."""

    @abstractmethod
    def _advance(self, generation: Any) -> None:
        """Learns a whole generation, all told, and sets or starts the next one (`_hand_out`, `_start`)."""

    @abstractmethod
    def _breed_one(self) -> None:
        """Makes an individual of what has been told by now, and hands it out. Steady state only."""

    @abstractmethod
    def _take_in(self, individual: Any) -> None:
        """Learns one individual that was told. Steady state only."""

    def _start(self) -> None:
        seed = self._derived_seed("start", self._starts)
        given = self.first if self._starts == 0 else []
        missing = max(self._initial_size() - len(given), 0)
        points = [self._box.encode(genome) for genome in given]
        if missing:
            points.extend(sampling_lhs(missing, self._box.dimension, random_state=np.random.default_rng(seed)))
        self._starts += 1
        first = self._begin(np.array(points), seed)
        first.set("operator", "sampling")
        for individual, genome in zip(first, given, strict=False):
            individual.set("genome", genome)
            individual.set("operator", "given")
        self._hand_out(first)

    def _hand_out(self, individuals: Any) -> None:
        self._generation = individuals
        self._handed = 0

    def _propose(self, n: int) -> list[Open]:
        if self._handed == len(self._generation):
            self._breed_one()
        handed = self._generation[self._handed : self._handed + n]
        self._handed += len(handed)
        return [Open(self._proposal(individual), individual) for individual in handed]

    def _proposal(self, individual: Any) -> Proposal:
        # A given genome is kept as it is: through the unit cube, its numbers might change in the last digit.
        genome = individual.get("genome") or self._box.decode(individual.X)
        return Proposal(genome, individual.get("operator") or self.operator, individual.get("parents") or ())

    def _learn(self, results: Sequence[tuple[Any, Told]]) -> None:
        for individual, told in results:
            individual.set("number", told.number)
            individual.set("failed", told.values is None)
            if told.values is not None:
                individual.F = self._signs * np.array(told.values, dtype=np.float64)
                self._worst = np.maximum(self._worst, individual.F)
            if self._steady:
                self._take_in(individual)
        if not self._steady and self._handed == len(self._generation):
            self._advance(self._generation)

    def _penalise(self, individuals: Iterable[Any]) -> None:
        """Makes those that failed worse than all that has been told by now."""
        penalty = _worse_than(self._worst)
        for individual in individuals:
            if individual.get("failed"):
                individual.F = penalty.copy()


def _worse_than(worst: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A finite point that is worse (larger) than `worst` in every objective; where nothing was told yet, 0."""
    with np.errstate(over="ignore", invalid="ignore"):
        penalty = np.minimum(worst + 1.0 + np.abs(worst), np.finfo(np.float64).max)
    return np.where(np.isfinite(worst), penalty, 0.0)
