"""Optimizers of pymoo (Blank and Deb, 2020): genetic algorithm, differential evolution, CMA-ES, NSGA-II."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2, binary_tournament
from pymoo.algorithms.soo.nonconvex.cmaes import CMAES
from pymoo.algorithms.soo.nonconvex.de import DE
from pymoo.algorithms.soo.nonconvex.ga import GA, comp_by_cv_and_fitness
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


class Breeding(GenerationalOptimizer):
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

    def _next_generation(self) -> Any:
        self._fresh.remember(self._generation)
        children = self._running.ask()
        if children is not None and len(children) > 0:
            return children
        # Every genome within reach has been proposed: pymoo would stop, but the study decides when to stop.
        self._running.termination.force_termination = False
        drawn = FloatRandomSampling()(self._problem, self._running.pop_size, random_state=self._running.random_state)
        drawn.set("operator", "sampling")
        return drawn


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


class DifferentialEvolution(GenerationalOptimizer):
    """Differential evolution (Storn and Price, 1997) for one objective."""

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
        mating = DifferentialMating(
            self.settings["base"], self.settings["weight"], self.settings["crossover_probability"]
        )
        return DE(pop_size=len(initial), sampling=initial, variant=mating, seed=seed)


class CmaEs(GenerationalOptimizer):
    """CMA-ES (Hansen and Ostermeier, 2001), by pycma, for one objective.

    The search starts from the best genome of `first`, the middle of the space by default. Where it has converged, or
    where the results are flat, it starts again from a random point.
    """

    name = "cmaes"
    default_first = ("middle",)
    least_dimension = 2  # pycma refuses a single dimension
    options: ClassVar = {
        "population": Number(None, 3, "candidates in a generation", whole=True),
        "sigma": Number(0.2, 1e-6, "initial step size, as a fraction of each gene's range", high=1.0),
    }
    operator = "cma"

    def _initial_size(self) -> int:
        return 1

    def _algorithm(self, initial: Matrix, seed: int) -> Any:
        return CMAES(
            x0=initial,
            sigma=self.settings["sigma"],
            pop_size=self.settings["population"],
            seed=seed,
            randn=np.random.RandomState(seed).randn,  # or pycma would seed and draw from numpy's global state
            signals_filename="",  # or pycma would read options from a file in the current directory
        )


def population_for(dimension: int, least: int, most: int) -> int:
    """CMA-ES's rule 4 + 3 ln(dimension) (Hansen, 2016), kept in [`least`, `most`] for budgets of 20 to 200."""
    return min(max(4 + int(3 * math.log(dimension)), least), most)
