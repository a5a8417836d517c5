"""What each level of each group of weights does to a score, learned from whole candidates."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ...core.genome import Genome
from ...core.quantization.budget import LevelCosts

Array: TypeAlias = npt.NDArray[np.float64]
Effects: TypeAlias = Mapping[str, Mapping[str, float]]
"""By gene and level: what it adds to the score, which is to be small."""

_KIND, _DEPTH, _GENE, _OWN = 0.5, 0.5, 1.0, 0.5
_LAYERS = 4.0
_NOISE, _INTERACTION = 0.002, 0.15
_MOST = 400


@dataclass(frozen=True)
class Observation:
    """A candidate and its score, to be minimised."""

    genome: Genome
    score: float


class LevelModel:
    """A Bayesian linear model: a score is the sum of what the levels add, whose estimates may be off.

    What level l of gene g adds is e_gl (1 + d_gl) times a scale, e being the estimates beforehand (sensitivities) and d
    a Gaussian of mean 0 whose parts are shared by all groups of a kind (standard deviation 0.5), by neighbouring
    layers (0.5, correlation exp(-distance / 4)), by the levels of a gene (1), and its own (0.5). Scores are modelled
    near the best candidate, as differences from it; of what candidates far from it tell, an interaction of 0.15 times
    the change that is expected is taken as noise. With n candidates this is a Gaussian process of n points (Rasmussen
    and Williams, 2006, section 2.1) whose kernel is additive over genes.

    Args:
        errors: what levels are estimated to do, 0 or more; None: error power falls by 4 with each bit.
    """

    def __init__(self, costs: LevelCosts, errors: Effects | None = None) -> None:
        pairs = [(gene, level) for gene, levels in costs.costs.items() for level in levels]
        known = errors if errors is not None else _by_bits(costs)
        self._place = {pair: place for place, pair in enumerate(pairs)}
        self._rows: dict[Genome, Array] = {}
        self._error = np.array([known[gene][level] for gene, level in pairs], dtype=np.float64)
        genes = list(costs.costs)
        kinds, depths = zip(*(_region(gene) for gene in genes), strict=True)
        self._gene = np.array([genes.index(gene) for gene, _ in pairs])
        same = np.array(kinds)[:, None] == np.array(kinds)
        distance = np.abs(np.subtract.outer(depths, depths))
        of_genes = _KIND**2 * same + _DEPTH**2 * np.exp(-distance / _LAYERS) + _GENE**2 * np.eye(len(genes))
        self._root = np.linalg.cholesky(of_genes)
        own = _OWN**2 * np.eye(len(pairs))
        self._covariance = (of_genes[np.ix_(self._gene, self._gene)] + own) * np.outer(self._error, self._error)

    def effects(
        self, best: Observation, others: Sequence[Observation], random: np.random.Generator | None = None
    ) -> Effects:
        """What each level adds, by all that is known: its mean, or a draw from its distribution (Thompson sampling).

        Args:
            best: what the others are compared with.
            others: further candidates; the 400 whose scores are nearest are taken.
        """
        origin = self._row(best.genome)
        nearest = sorted(others, key=lambda one: abs(one.score - best.score))[:_MOST]
        rows = [(self._row(one.genome) - origin, one.score - best.score) for one in nearest]
        taken = [(row, difference) for row, difference in rows if row.any()]
        changes = np.array([row for row, _ in taken]).reshape(len(taken), len(origin))
        seen = np.array([difference for _, difference in taken])
        expected = changes @ self._error
        scale = _scale(expected, seen, float(origin @ self._error))
        mean, covariance = scale * self._error, scale**2 * self._covariance
        noise = (_NOISE * max(np.abs(seen).max(initial=0.0), 1e-12)) ** 2
        noise = noise + (_INTERACTION * scale * (np.abs(changes) @ self._error)) ** 2
        prior = mean if random is None else mean * (1 + self._drawn(random))
        missed = seen - changes @ prior
        if random is not None:
            missed = missed - np.sqrt(noise) * random.standard_normal(len(taken))
        reach = covariance @ changes.T
        weight = np.linalg.solve(changes @ reach + np.diag(noise), missed) if taken else missed
        found = prior + reach @ weight
        effects: dict[str, dict[str, float]] = {}
        for (gene, level), place in self._place.items():
            effects.setdefault(gene, {})[level] = float(found[place])
        return effects

    def _row(self, genome: Genome) -> Array:
        if genome not in self._rows:
            row = np.zeros(len(self._place))
            row[[place for (gene, level), place in self._place.items() if genome[gene] == level]] = 1.0
            self._rows[genome] = row
        return self._rows[genome]

    def _drawn(self, random: np.random.Generator) -> Array:
        of_genes = self._root @ random.standard_normal(len(self._root))
        return np.asarray(of_genes[self._gene] + _OWN * random.standard_normal(len(self._gene)), dtype=np.float64)


def _scale(expected: Array, seen: Array, whole: float) -> float:
    """By how much estimates are to be multiplied: least squares, positive; before anything is known, such that the
    estimates of `whole` come to 1."""
    fitted = float(expected @ seen) / max(float(expected @ expected), 1e-300)
    return max(fitted, 0.1 / max(whole, 1e-300)) if len(seen) else 1.0 / max(whole, 1e-300)


def _by_bits(costs: LevelCosts) -> Effects:
    """Estimates where there are none: weights times 4 to the power of minus their bits."""
    least = {gene: min(levels.values()) for gene, levels in costs.costs.items()}
    sizes = {gene: max(costs.weights.get(gene, least[gene]), 1) for gene in costs.costs}
    unit = max(max(levels.values()) / sizes[gene] for gene, levels in costs.costs.items()) / 8
    return {
        gene: {level: sizes[gene] * 4.0 ** -(cost / sizes[gene] / max(unit, 1e-12)) for level, cost in levels.items()}
        for gene, levels in costs.costs.items()
    }


def _region(gene: str) -> tuple[str, float]:
    """Kind and depth of the groups that a gene decides about, as its name has them."""
    parts = gene.split("/")[1:]
    kinds = [part for part in parts if not re.match(r"layers? \d", part)]
    numbers = [int(number) for part in parts if part not in kinds for number in re.findall(r"\d+", part)]
    return "/".join(kinds), sum(numbers) / len(numbers) if numbers else 0.0
