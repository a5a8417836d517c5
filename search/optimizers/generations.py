"""Algorithms of pymoo, which work in whole generations, behind ask and tell in pieces of any size."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from pymoo.config import Config
from pymoo.core.problem import Problem
from pymoo.core.termination import NoTermination
from pymoo.operators.sampling.lhs import sampling_lhs

from ...core.contracts import Direction, Proposal, Told
from ...core.gene_space import GeneSpace
from .box import Box
from .turns import TurnTaking

Matrix = npt.NDArray[np.float64]

Config.warnings["not_compiled"] = False  # pymoo would print a banner about it


class GenerationalOptimizer(TurnTaking):
    """Hands out a generation in pieces, and advances pymoo's algorithm once all of it has been told.

    Failed candidates get a penalty that is kept worse than every result so far. An algorithm that stops by itself (as
    CMA-ES does when the results are flat) is started again elsewhere.

    Attributes:
        operator: how candidates are made, unless they carry an operator of their own.
        least_dimension: coordinates that mean nothing are added to spaces of fewer genes.
    """

    operator: ClassVar[str] = "sampling"
    least_dimension: ClassVar[int] = 1

    def __init__(self, space: GeneSpace, directions: Sequence[Direction], seed: int, **options: Any) -> None:
        super().__init__(space, directions, seed, **options)
        self._box = Box(space, self.least_dimension)
        dimension = self._box.dimension
        self._problem = Problem(n_var=dimension, n_obj=len(directions), xl=np.zeros(dimension), xu=np.ones(dimension))
        self._signs = np.array([-1.0 if direction == "maximize" else 1.0 for direction in self.directions])
        self._worst = np.full(len(directions), -np.inf)
        self._starts = 0
        self._start()

    @abstractmethod
    def _algorithm(self, initial: Matrix, seed: int) -> Any:
        """pymoo's algorithm, whose first generation is `initial`, shape (candidates, dimension), in [0, 1]."""

    @abstractmethod
    def _initial_size(self) -> int:
        """How many candidates the first generation has, unless more are given."""

    def _start(self) -> None:
        seed = self._derived_seed("start", self._starts)
        given = self.first if self._starts == 0 else []
        missing = max(self._initial_size() - len(given), 0)
        points = [self._box.encode(genome) for genome in given]
        if missing:
            points.extend(sampling_lhs(missing, self._box.dimension, random_state=np.random.default_rng(seed)))
        self._running = self._algorithm(np.array(points), seed)
        self._running.termination = NoTermination()
        self._running.setup(self._problem)
        self._starts += 1
        self._generation = self._running.ask()
        self._generation.set("operator", "sampling")
        for individual, genome in zip(self._generation, given, strict=False):
            individual.set("genome", genome)
            individual.set("operator", "given")
        self._told = 0

    def _propose(self, n: int) -> list[Proposal]:
        return [self._proposal(individual) for individual in self._generation[self._told : self._told + n]]

    def _proposal(self, individual: Any) -> Proposal:
        # A given genome is kept as it is: through the unit cube, its numbers might change in the last digit.
        genome = individual.get("genome") or self._box.decode(individual.X)
        return Proposal(genome, individual.get("operator") or self.operator, individual.get("parents") or ())

    def _learn(self, results: Sequence[Told]) -> None:
        for individual, told in zip(self._generation[self._told :], results, strict=False):
            individual.set("number", told.number)
            individual.set("failed", told.values is None)
            if told.values is not None:
                individual.F = self._signs * np.array(told.values, dtype=np.float64)
                self._worst = np.maximum(self._worst, individual.F)
        self._told += len(results)
        if self._told == len(self._generation):
            self._advance()

    def _advance(self) -> None:
        penalty = _worse_than(self._worst)
        survivors = self._running.pop if self._running.pop is not None else []
        for individual in [*survivors, *self._generation]:
            if individual.get("failed"):
                individual.F = penalty.copy()
        self._running.tell(infills=self._generation)
        if self._running.termination.force_termination:
            self._start()
        else:
            self._generation = self._next_generation()
            self._told = 0

    def _next_generation(self) -> Any:
        return self._running.ask()


def _worse_than(worst: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A finite point that is worse (larger) than `worst` in every objective; where nothing was told yet, 0."""
    with np.errstate(over="ignore", invalid="ignore"):
        penalty = np.minimum(worst + 1.0 + np.abs(worst), np.finfo(np.float64).max)
    return np.where(np.isfinite(worst), penalty, 0.0)
