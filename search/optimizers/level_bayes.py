"""Bayesian search of bit-widths: a model of what levels do, and swaps that it expects to gain."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from ...core.contracts import Direction, Told
from ...core.gene_space import GeneSpace
from ...core.genes import GeneValue
from ...core.genome import Genome
from ...core.quantization.swaps import swapped
from .level_es import LevelEs
from .level_model import Effects, LevelModel, Observation
from .options import Number
from .steps import SWAP

_POOL = 48
MODEL = "modelled swaps"


class LevelBayes(LevelEs):
    """An evolution strategy like `level_es` whose level swaps are chosen by an additive model of all results so far.

    Each child of the best candidate belongs to what the model expects, or to a draw from what it holds possible
    (Thompson, 1933): one to `swaps` times, the best of 48 random level swaps is made, as long as it gains by that.
    Numbers (merge weights and such) are moved as by `level_es`, blindly.

    Where scores are positive and to be minimised, as divergences and perplexities are, their logarithms are modelled.
    """

    name = "level_bayes"
    multi_objective = False
    takes_errors = True
    options: ClassVar = {
        "offspring": Number(4, 1, "candidates in a generation", whole=True),
        "swaps": Number(4, 1, "level swaps that a child may get", whole=True),
        "explore": Number(0.5, 0, "share of children that belong to a draw from the model, not to its mean", high=1.0),
        "sigma": Number(0.1, 1e-6, "standard deviation of a step, as a fraction of a gene's range", high=1.0),
    }

    def __init__(
        self,
        space: GeneSpace,
        directions: Sequence[Direction],
        seed: int,
        errors: Effects | None = None,
        **options: Any,
    ) -> None:
        super().__init__(space, directions, seed, **options)
        levels = space.costs.costs if space.costs is not None else {}
        varies = any(len(choices) > 1 for choices in levels.values())
        self._model = LevelModel(space.costs, errors) if space.costs is not None and varies else None
        self._told: dict[Genome, float] = {}
        self._mean: tuple[Genome, Effects] | None = None

    def _parents_kept(self) -> int:
        return 1

    def _varied(self, parent: Genome) -> tuple[Genome, str]:
        genome, operator = super()._varied(parent)
        if self._model is None or SWAP not in operator or parent not in self._told:
            return genome, operator
        assert self.space.costs is not None
        values = {name: parent[name] if name in self.space.costs.costs else genome[name] for name in genome}
        return self.space.repaired(Genome(self._swapped(values, parent))), operator.replace(SWAP, MODEL)

    def _swapped(self, values: dict[str, GeneValue], parent: Genome) -> dict[str, GeneValue]:
        assert self.space.costs is not None
        effects = self._effects(parent)
        most = int(self._random.integers(1, int(self.settings["swaps"]) + 1))
        for _ in range(most):
            pool = [swapped(self.space.costs, values, self._random) for _ in range(_POOL)]
            gains = [_gain(effects, values, changed) for changed in pool]
            chosen = int(np.argmax(gains))
            if gains[chosen] <= 0:
                break
            values.update(pool[chosen])
        return values

    def _effects(self, parent: Genome) -> Effects:
        assert self._model is not None
        drawn = bool(self._random.random() < self.settings["explore"])
        if not drawn and self._mean is not None and self._mean[0] == parent:
            return self._mean[1]
        scores = self._scores()
        best = Observation(parent, scores[parent])
        others = [Observation(genome, score) for genome, score in scores.items() if genome != parent]
        effects = self._model.effects(best, others, self._random if drawn else None)
        if not drawn:
            self._mean = parent, effects
        return effects

    def _scores(self) -> dict[Genome, float]:
        if self._signs[0] > 0 and all(value > 0 for value in self._told.values()):
            return {genome: math.log(value) for genome, value in self._told.items()}
        return dict(self._told)

    def _learn(self, results: Sequence[tuple[Any, Told]]) -> None:
        super()._learn(results)
        self._mean = None
        for _, told in results:
            if told.values is not None:
                self._told[told.genome] = float(self._signs[0] * told.values[0])


def _gain(effects: Effects, values: Mapping[str, GeneValue], changed: Mapping[str, str]) -> float:
    return sum(effects[gene][str(values[gene])] - effects[gene][level] for gene, level in changed.items())
