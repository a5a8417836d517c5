"""Small changes of a genome: Gaussian steps of numbers, level swaps that keep the budget, or both."""

from __future__ import annotations

import numpy as np

from ...core.gene_space import GeneSpace
from ...core.genes import CategoryGene, Gene, GeneValue, IntegerGene
from ...core.genome import Genome
from ...core.quantization.swaps import swapped

SWAP, STEP, BOTH = "level swap", "gaussian step", "level swap+gaussian step"


class Steps:
    """Changes genomes of a space; what a change leaves alone keeps its value to the last bit.

    Args:
        sigma: standard deviation of a step, as a fraction of the gene's range.
        most_swaps: how many swaps a child may get; it gets min(U, U') of them, both uniform from 1 to that.
    """

    def __init__(self, space: GeneSpace, sigma: float, most_swaps: int) -> None:
        self._space = space
        self._sigma = sigma
        self._most_swaps = most_swaps
        levels = space.costs.costs if space.costs is not None else {}
        self._others = [gene for gene in space if gene.name not in levels and _varies(gene)]
        self._operators = [SWAP] if any(len(choices) > 1 for choices in levels.values()) else []
        if self._others:
            self._operators = [*self._operators, STEP, *([BOTH] if self._operators else [])]

    def child(self, parent: Genome, random: np.random.Generator) -> tuple[Genome, str]:
        """A genome near `parent`, and how it was made; `parent` itself where nothing can vary."""
        if not self._operators:
            return parent, STEP
        operator = self._operators[int(random.integers(len(self._operators)))]
        values: dict[str, GeneValue] = dict(parent)
        if operator in (STEP, BOTH):
            values = self._stepped(values, random)
        if operator in (SWAP, BOTH):
            assert self._space.costs is not None
            for _ in range(int(random.integers(1, self._most_swaps + 1, 2).min())):
                values.update(swapped(self._space.costs, values, random))
        return self._space.repaired(Genome(values)), operator

    def _stepped(self, before: dict[str, GeneValue], random: np.random.Generator) -> dict[str, GeneValue]:
        active = [gene for gene in self._others if gene.name in before]
        chosen = {gene.name for gene in active if random.random() < 1 / len(active)}
        if active and not chosen:
            chosen = {active[int(random.integers(len(active)))].name}
        after: dict[str, GeneValue] = {}
        for gene in self._space:
            if not self._space.is_active(gene, after):
                continue
            if gene.name in chosen:
                after[gene.name] = self._moved(gene, before[gene.name], random)
            else:
                after[gene.name] = before[gene.name] if gene.name in before else _drawn(gene, random)
        return after

    def _moved(self, gene: Gene, value: GeneValue, random: np.random.Generator) -> GeneValue:
        if isinstance(gene, CategoryGene):
            others = [choice for choice in gene.choices if choice != value]
            return others[int(random.integers(len(others)))]
        width = gene.high - gene.low
        step = float(random.normal(0.0, self._sigma)) * width
        if isinstance(gene, IntegerGene):
            away = round(step) or (1 if step > 0 else -1)
            return int(min(max(int(value) + away, gene.low), gene.high))
        return float(min(max(float(value) + step, gene.low), gene.high)) + 0.0


def _drawn(gene: Gene, random: np.random.Generator) -> GeneValue:
    if isinstance(gene, CategoryGene):
        return gene.choices[int(random.integers(len(gene.choices)))]
    if isinstance(gene, IntegerGene):
        return int(random.integers(gene.low, gene.high + 1))
    return float(random.uniform(gene.low, gene.high)) + 0.0


def _varies(gene: Gene) -> bool:
    return len(gene.choices) > 1 if isinstance(gene, CategoryGene) else gene.low < gene.high
