"""CMA-ES by pycma, for one objective."""

from __future__ import annotations

from typing import Any, ClassVar

import cma
import numpy as np
from pymoo.core.population import Population

from .generations import GenerationalOptimizer, Matrix
from .options import Number


class CmaEs(GenerationalOptimizer):
    """CMA-ES (Hansen and Ostermeier, 2001), by pycma, for one objective.

    The search starts from the best genome of `first`, the middle of the space by default. Where it has converged, or
    where the results are flat, it starts again from a random point.

    In steady state, the distribution is sampled as often as it is asked, and moves as soon as a generation's worth of
    results has arrived since it last did, be they its own or of those before.
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

    def _begin(self, initial: Matrix, seed: int) -> Any:
        self._strategy_seed = seed
        self._strategy: cma.CMAEvolutionStrategy | None = None
        self._is_over = False
        self._beginners = Population.new(X=initial)
        self._arrived: list[Any] = []
        return self._beginners

    def _advance(self, generation: Any) -> None:
        if self._is_over:
            self._start()
            return
        if self._strategy is None:
            self._strategy = self._strategy_from(generation)
        elif not self._moved(self._strategy, generation):
            return
        self._hand_out(Population.new(X=np.array(self._strategy.ask())))

    def _breed_one(self) -> None:
        if self._is_over:
            self._start()
            return
        if self._strategy is None:
            self._strategy = self._strategy_from([one for one in self._beginners if one.get("number") is not None])
        strategy, enough = self._strategy, self._strategy.popsize
        if len(self._arrived) >= enough:
            generation, self._arrived = self._arrived[:enough], self._arrived[enough:]
            if not self._moved(strategy, generation):
                return
        sample = Population.new(X=np.array(strategy.ask(1)))
        sample.set("strategy", strategy)
        self._hand_out(sample)

    def _take_in(self, individual: Any) -> None:
        # The points that a strategy starts from, and samples of one that is over, teach the one that runs nothing.
        if self._strategy is not None and individual.get("strategy") is self._strategy:
            self._arrived.append(individual)

    def _moved(self, strategy: cma.CMAEvolutionStrategy, generation: Any) -> bool:
        """Learns a generation's worth of results; False if nothing more is to be found from here.

        Then its mean, which is often better than any sample, is handed out, and after that a new start.
        """
        self._penalise(generation)
        try:
            strategy.tell([one.X for one in generation], [float(one.F[0]) for one in generation])
            self._is_over = bool(strategy.stop())
        except Exception:  # pycma fails in many ways where numbers are near the largest that there are
            self._start()
            return False
        if self._is_over:
            self._hand_out(Population.new(X=np.array([strategy.result.xfavorite])))
        return not self._is_over

    def _strategy_from(self, told: Any) -> cma.CMAEvolutionStrategy:
        """One that starts from the best of those told, or if none is, from the first point."""
        self._penalise(told)
        start = min(told, key=lambda individual: float(individual.F[0]), default=self._beginners[0])
        options = {
            "bounds": [np.zeros(self._box.dimension), np.ones(self._box.dimension)],
            "randn": np.random.RandomState(self._strategy_seed).randn,  # or it would draw from numpy's global state
            "seed": np.nan,  # or it would seed numpy's global state
            "signals_filename": "",  # or it would read options from a file in the current directory
            "tolfun": 1e-11,
            "tolx": 1e-11,
            "verbose": -9,
            "verb_log": 0,
        }
        if self.settings["population"] is not None:
            options["popsize"] = self.settings["population"]
        return cma.CMAEvolutionStrategy(start.X, self.settings["sigma"], options)
