"""Evolutionary algorithms of pymoo (Blank and Deb, 2020): genetic algorithm, NSGA-II, differential evolution."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2, binary_tournament
from pymoo.algorithms.soo.nonconvex.de import DE
from pymoo.algorithms.soo.nonconvex.ga import GA, FitnessSurvival, comp_by_cv_and_fitness
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.termination import NoTermination
from pymoo.operators.crossover.sbx import SBX
from pymoo.operators.mutation.pm import PM
from pymoo.operators.sampling.rnd import FloatRandomSampling
from pymoo.operators.selection.tournament import TournamentSelection

from .generations import GenerationalOptimizer, Matrix
from .mating import DifferentialMating, FreshGenomes, RecordingMating
from .options import Choice, Number

_BREEDING = {
    "population": Number(None, 2, "candidates in a generation", whole=True),
    "crossover_probability": Number(0.9, 0.0, "how often two parents are crossed at all", high=1.0),
    "crossover_eta": Number(5.0, 1.0, "simulated binary crossover: the larger, the closer to the parents", high=100.0),
    "mutation_probability": Number(0.9, 0.0, "how often a child is mutated at all", high=1.0),
    "mutation_eta": Number(5.0, 1.0, "polynomial mutation: the larger, the smaller the steps", high=100.0),
}


_LEAST = 4
"""How many must have been told before one is bred of them: a tournament of two for each of two parents; a target, a
base and two that differ."""


class Evolution(GenerationalOptimizer):
    """What they share: a population, of which pymoo's algorithm keeps the best and breeds the next.

    In steady state each that is told competes at once; while too few have been told, candidates are drawn at random.
    """

    @abstractmethod
    def _algorithm(self, initial: Matrix, seed: int) -> Any:
        """pymoo's algorithm, whose first generation is `initial`."""

    @abstractmethod
    def _children(self) -> Any:
        """One child (or none, if none is new) of the population. Steady state only."""

    def _begin(self, initial: Matrix, seed: int) -> Any:
        dimension, objectives = self._box.dimension, len(self.directions)
        self._problem = Problem(n_var=dimension, n_obj=objectives, xl=np.zeros(dimension), xu=np.ones(dimension))
        self._running = self._algorithm(initial, seed)
        self._running.termination = NoTermination()
        self._running.setup(self._problem)
        return self._running.ask()

    def _advance(self, generation: Any) -> None:
        survivors = self._running.pop if self._running.pop is not None else []
        self._penalise([*survivors, *generation])
        self._running.tell(infills=generation)

    def _breed_one(self) -> None:
        enough = len(self._running.pop) >= min(_LEAST, self._running.pop_size)
        children = self._children() if enough else ()
        self._hand_out(children if len(children) else self._drawn(1))

    def _take_in(self, individual: Any) -> None:
        self._penalise([*self._running.pop, individual])
        self._running.tell(infills=Population.create(individual))

    def _drawn(self, n: int) -> Any:
        drawn = FloatRandomSampling()(self._problem, n, random_state=self._running.random_state)
        drawn.set("operator", "sampling")
        return drawn


class Breeding(Evolution):
    """What GA and NSGA-II share: tournament, simulated binary crossover, polynomial mutation, no duplicates."""

    options = _BREEDING
    default_population: ClassVar[tuple[int, int]] = (6, 16)
    tournament: ClassVar[Any]
    pymoo_class: ClassVar[Any]

    def _initial_size(self) -> int:
        return int(self.settings["population"] or population_for(self._box.dimension, *self.default_population))

    def _algorithm(self, initial: Matrix, seed: int) -> Any:
        self._fresh = FreshGenomes(self._box)
        mating = RecordingMating(
            TournamentSelection(func_comp=type(self).tournament),
            SBX(prob=self.settings["crossover_probability"], eta=self.settings["crossover_eta"]),
            PM(prob=self.settings["mutation_probability"], eta=self.settings["mutation_eta"]),
            eliminate_duplicates=self._fresh,
            n_max_iterations=10,
        )
        return type(self).pymoo_class(
            pop_size=len(initial), sampling=initial, mating=mating, eliminate_duplicates=self._fresh, seed=seed
        )

    def _advance(self, generation: Any) -> None:
        super()._advance(generation)
        children = self._bred()
        # Every genome within reach has been proposed: pymoo would stop, but the study decides when to stop.
        self._hand_out(children if len(children) else self._drawn(self._running.pop_size))

    def _children(self) -> Any:
        self._running.n_offsprings = 1
        return self._bred()

    def _bred(self) -> Any:
        self._fresh.remember(self._generation)
        children = self._running.ask()
        self._running.termination.force_termination = False
        return () if children is None else children


class GeneticAlgorithm(Breeding):
    """A genetic algorithm for one objective."""

    name = "ga"
    tournament = staticmethod(comp_by_cv_and_fitness)
    pymoo_class = GA


class Nsga2(Breeding):
    """NSGA-II (Deb et al., 2002): a genetic algorithm that spreads candidates along the Pareto front."""

    name = "nsga2"
    multi_objective = True
    default_population = (12, 20)
    tournament = staticmethod(binary_tournament)
    pymoo_class = NSGA2


class DifferentialEvolution(Evolution):
    """Differential evolution (Storn and Price, 1997) for one objective.

    In steady state, each in turn of those that have been told is the target of a child, which takes its place if it is
    better than whoever is there by then.
    """

    name = "de"
    options: ClassVar = {
        "population": Number(None, 4, "candidates in a generation", whole=True),
        "base": Choice("best", ("best", "rand"), "what a difference is added to: the best candidate or a random one"),
        "weight": Number(0.6, 0.0, "factor of the difference of two candidates", high=2.0),
        "crossover_probability": Number(0.7, 0.0, "share of the genes that a child takes from the donor", high=1.0),
    }

    def _initial_size(self) -> int:
        return max(int(self.settings["population"] or population_for(self._box.dimension, 6, 16)), 4)

    def _algorithm(self, initial: Matrix, seed: int) -> Any:
        self._mating = DifferentialMating(
            self.settings["base"], self.settings["weight"], self.settings["crossover_probability"]
        )
        self._bred = 0
        return DE(pop_size=len(initial), sampling=initial, variant=self._mating, seed=seed)

    def _advance(self, generation: Any) -> None:
        super()._advance(generation)
        self._hand_out(self._running.ask())

    def _children(self) -> Any:
        population = self._running.pop
        targets = np.array([self._bred % len(population)])
        children = self._mating.breed(self._problem, population, targets, self._running.random_state)
        children.set("index", targets)
        self._bred += 1
        return children

    def _take_in(self, individual: Any) -> None:
        population = self._running.pop
        if len(population) == 0 or individual.get("index") is not None:
            super()._take_in(individual)
            return
        if len(population) < self._running.pop_size:
            self._running.pop = Population.merge(population, Population.create(individual))
            self._penalise(self._running.pop)
            FitnessSurvival().do(self._problem, self._running.pop)
            return
        # Drawn while too few had been told, and told when there is no more room: it is put beside the worst.
        individual.set("index", int(np.argmax(population.get("rank"))))
        super()._take_in(individual)


def population_for(dimension: int, least: int, most: int) -> int:
    """CMA-ES's rule 4 + 3 ln(dimension) (Hansen, 2016), kept in [`least`, `most`] for budgets of 20 to 200."""
    return min(max(4 + int(3 * math.log(dimension)), least), most)
