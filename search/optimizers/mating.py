"""Mating for pymoo that remembers which candidates each child was bred from, and which genomes there were."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from pymoo.algorithms.soo.nonconvex.de import de_differential
from pymoo.core.duplicate import DuplicateElimination
from pymoo.core.infill import InfillCriterion
from pymoo.core.mating import Mating
from pymoo.core.population import Population
from pymoo.operators.crossover.binx import mut_binomial
from pymoo.operators.repair.bounds_repair import repair_random_init
from pymoo.operators.selection.rnd import fast_fill_random

from ...core.genome import Genome
from .box import Box


def numbers(parents: Iterable[Any]) -> tuple[int, ...]:
    """The candidate numbers of pymoo individuals, each once, in ascending order."""
    return tuple(sorted({parent.get("number") for parent in parents}))


class RecordingMating(Mating):  # type: ignore[misc]
    """Selection, crossover and mutation as in pymoo; each child keeps the numbers of its parents."""

    def _do(self, problem: Any, pop: Any, n_offsprings: int, parents: Any = None, **kwargs: Any) -> Any:
        matings = math.ceil(n_offsprings / self.crossover.n_offsprings)
        if parents is None:
            parents = self.selection(problem, pop, matings, n_parents=self.crossover.n_parents, **kwargs)
        children = super()._do(problem, pop, n_offsprings, parents=parents, **kwargs)
        for place, child in enumerate(children):
            # pymoo lists the first child of every mating, then the second of every mating.
            child.set("parents", numbers(parents[place % matings]))
            child.set("operator", "crossover+mutation")
        return children


class FreshGenomes(DuplicateElimination):  # type: ignore[misc]
    """Drops children whose genome was proposed before: integers and categories would spend the budget on repetitions.

    pymoo's own elimination compares points with the current population alone, and many points decode to one genome.
    """

    def __init__(self, box: Box) -> None:
        super().__init__()
        self._box = box
        self._proposed: set[Genome] = set()

    def remember(self, population: Any) -> None:
        """Counts the genomes of `population` as proposed."""
        self._proposed.update(self._genomes(population))

    def do(self, pop: Any, *others: Any, **kwargs: Any) -> Any:
        """The individuals of `pop` that are new, also with respect to each other and to `others`."""
        taken = self._proposed.union(*(self._genomes(other) for other in others))
        fresh = []
        for place, genome in enumerate(self._genomes(pop)):
            if genome not in taken:
                taken.add(genome)
                fresh.append(place)
        return pop[np.array(fresh, dtype=np.int64)]

    def _genomes(self, population: Any) -> list[Genome]:
        return [individual.get("genome") or self._box.decode(individual.X) for individual in population]


class DifferentialMating(InfillCriterion):  # type: ignore[misc]
    """Differential evolution's DE/rand/1/bin or DE/best/1/bin (Storn and Price, 1997), remembering the parents.

    Made of pymoo's own operators; pymoo's `Variant` keeps the indices of the parents to itself.

    Args:
        base: `rand` or `best`: the candidate to which the difference of two others is added.
        weight: the factor of the difference.
        crossover: the probability that a coordinate comes from the donor rather than from the target.
    """

    def __init__(self, base: str, weight: float, crossover: float) -> None:
        super().__init__()
        self.base, self.weight, self.crossover = base, weight, crossover

    def do(self, problem: Any, pop: Any, n_offsprings: int, random_state: Any = None, **kwargs: Any) -> Any:
        """One child for each of the first `n_offsprings` individuals of `pop`, its target."""
        return self.breed(problem, pop, np.arange(n_offsprings), random_state)

    def breed(self, problem: Any, pop: Any, targets: npt.NDArray[np.int_], random_state: Any) -> Any:
        """One child for each target, given by its place in `pop`."""
        parents = self._choose(pop, targets, random_state)
        points = pop.get("X")
        chosen = np.swapaxes(points[parents], 0, 1)
        no_jitter = np.zeros(len(targets), dtype=bool)
        donors = de_differential(chosen, np.full(len(targets), self.weight), no_jitter, random_state=random_state)
        donors = repair_random_init(donors, chosen[0], *problem.bounds(), random_state=random_state)
        crossed = mut_binomial(len(targets), problem.n_var, self.crossover, random_state=random_state)
        children = Population.new(X=np.where(crossed, donors, points[targets]))
        for target, row, child in zip(targets, parents, children, strict=True):
            child.set("parents", numbers(pop[[target, *row]]))
            child.set("operator", "differential evolution")
        return children

    def _choose(self, pop: Any, targets: Any, random_state: Any) -> Any:
        parents = np.full((len(targets), 3), -1)
        columns = range(3)
        if self.base == "best":
            parents[:, 0] = np.flatnonzero(pop.get("rank") == 0)[0]
            columns = range(1, 3)
        return fast_fill_random(parents, len(pop), columns=columns, Xp=targets[:, None], random_state=random_state)
