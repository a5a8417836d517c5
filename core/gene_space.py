"""An ordered set of genes, and its encoding as a box of real numbers for optimizers that know only vectors."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from .errors import ConfigurationError, did_you_mean
from .genes import CategoryGene, FloatGene, Gene, GeneValue
from .genome import Genome
from .quantization.budget import LevelCosts

Vector = npt.NDArray[np.float64]


class GeneSpace:
    """The genes of a search, in a fixed order; a condition may only name a category gene that comes before.

    Args:
        costs: what the levels among the genes cost, and the limit that no genome of this space exceeds.

    Raises:
        ConfigurationError: there is no gene, two share a name, or a condition names a gene that is not there.
    """

    def __init__(self, genes: Sequence[Gene], costs: LevelCosts | None = None) -> None:
        if not genes:
            raise ConfigurationError("the space has no gene: nothing varies, so there is nothing to search")
        self.genes: tuple[Gene, ...] = tuple(genes)
        self.costs = costs
        self._by_name: dict[str, Gene] = {}
        for gene in self.genes:
            if gene.name in self._by_name:
                raise ConfigurationError(f"two genes are called {gene.name!r}")
            if gene.active_when is not None:
                switch = self._by_name.get(gene.active_when.gene)
                if not isinstance(switch, CategoryGene):
                    raise ConfigurationError(
                        f"gene {gene.name!r} depends on {gene.active_when.gene!r}, which is no category gene before it"
                    )
                strangers = [value for value in gene.active_when.values if value not in switch.choices]
                if strangers:
                    raise ConfigurationError(
                        f"gene {gene.name!r} waits for {switch.name!r} to be {strangers[0]!r}, which it never is"
                    )
            self._by_name[gene.name] = gene

    def __len__(self) -> int:
        return len(self.genes)

    def __iter__(self) -> Iterator[Gene]:
        return iter(self.genes)

    def __getitem__(self, name: str) -> Gene:
        if name not in self._by_name:
            raise ConfigurationError(f"there is no gene {name!r}. {did_you_mean(name, self._by_name)}")
        return self._by_name[name]

    def is_active(self, gene: Gene, values: Mapping[str, GeneValue]) -> bool:
        """Whether `gene` counts, given the `values` of the active genes before it."""
        condition = gene.active_when
        return condition is None or values.get(condition.gene) in condition.values

    def bounds(self) -> tuple[Vector, Vector]:
        """Lower and upper bounds of the encoding, each of shape (genes,).

        A float gene keeps its own range. An integer gene in [low, high] takes [low - 0.5, high + 0.5] and is rounded;
        a category gene with n choices takes [0, n] and is floored: every value has an equal share of the box.
        """
        ends = [_bounds(gene) for gene in self.genes]
        return np.array([low for low, _ in ends]), np.array([high for _, high in ends])

    def decode(self, vector: npt.ArrayLike) -> Genome:
        """The genome at a point of the box; coordinates outside the bounds are clipped to them, costs repaired.

        Args:
            vector: shape (genes,), finite; coordinates of inactive genes are ignored.

        Raises:
            ConfigurationError: wrong shape, or a coordinate is not finite.
        """
        point = np.asarray(vector, dtype=np.float64)
        if point.shape != (len(self.genes),):
            raise ConfigurationError(f"a vector of shape {point.shape} for {len(self.genes)} genes")
        if not np.all(np.isfinite(point)):
            raise ConfigurationError(f"the vector has a coordinate that is not finite: {point}")
        values: dict[str, GeneValue] = {}
        for gene, coordinate in zip(self.genes, point, strict=True):
            if self.is_active(gene, values):
                values[gene.name] = _decode(gene, float(coordinate))
        return self.repaired(Genome(values))

    def repaired(self, genome: Genome) -> Genome:
        """The genome itself if it keeps the limit on costs; else one near it that does, always the same."""
        if self.costs is None or self.costs.fits(genome):
            return genome
        return Genome(self.costs.repaired(genome))

    def encode(self, genome: Genome) -> Vector:
        """A point of the box, shape (genes,), that decodes to `genome`; inactive genes sit at the middle.

        Raises:
            ConfigurationError: the genome does not belong to this space.
        """
        self.check(genome)
        return np.array(
            [_encode(gene, genome[gene.name]) if gene.name in genome else sum(_bounds(gene)) / 2 for gene in self.genes]
        )

    def check(self, genome: Genome) -> None:
        """Raises ConfigurationError unless `genome` has exactly this space's active genes, each within its range,
        and keeps the limit on costs."""
        values: dict[str, GeneValue] = {}
        for gene in self.genes:
            if not self.is_active(gene, values):
                continue
            if gene.name not in genome:
                raise ConfigurationError(f"the genome lacks a value for gene {gene.name!r}")
            value = genome[gene.name]
            if not gene.contains(value):
                raise ConfigurationError(f"the genome's value {value!r} is outside gene {gene}")
            values[gene.name] = value
        for name in genome:
            if name not in values:
                raise ConfigurationError(f"the genome has a value for {name!r}, which is not an active gene here")
        if self.costs is not None and not self.costs.fits(genome):
            raise ConfigurationError(
                f"the genome costs {self.costs.total(genome)}, more than the limit of {self.costs.limit}"
            )


def _bounds(gene: Gene) -> tuple[float, float]:
    if isinstance(gene, CategoryGene):
        return 0.0, float(len(gene.choices))
    if isinstance(gene, FloatGene):
        return float(gene.low), float(gene.high)
    return gene.low - 0.5, gene.high + 0.5


def _decode(gene: Gene, coordinate: float) -> GeneValue:
    if isinstance(gene, CategoryGene):
        return gene.choices[min(max(math.floor(coordinate), 0), len(gene.choices) - 1)]
    if isinstance(gene, FloatGene):
        return min(max(coordinate, float(gene.low)), float(gene.high)) + 0.0  # + 0.0: no negative zero
    return min(max(math.floor(coordinate + 0.5), gene.low), gene.high)


def _encode(gene: Gene, value: GeneValue) -> float:
    return gene.choices.index(value) + 0.5 if isinstance(gene, CategoryGene) else float(value)
