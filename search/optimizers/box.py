"""The part of a gene space that can vary, as a unit cube."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...core.gene_space import GeneSpace, Vector
from ...core.genes import CategoryGene, Gene
from ...core.genome import Genome


class Box:
    """A unit cube with a coordinate for each gene that has more than one value.

    A cube, because optimizers compare coordinates by absolute tolerances; without fixed genes, because they divide by
    the width of a range.

    Attributes:
        dimension: at least `least`: coordinates that mean nothing are added where genes are too few.
    """

    def __init__(self, space: GeneSpace, least: int = 1) -> None:
        self._space = space
        self._low, high = space.bounds()
        self._width = high - self._low
        self._free = np.flatnonzero([_varies(gene) for gene in space])
        self.dimension = max(least, len(self._free))

    def decode(self, point: npt.ArrayLike) -> Genome:
        """The genome at `point`, shape (dimension,); coordinates outside [0, 1] are clipped."""
        fractions = np.full(len(self._space), 0.5)
        fractions[self._free] = np.asarray(point, dtype=np.float64)[: len(self._free)]
        return self._space.decode(self._low + fractions * self._width)

    def encode(self, genome: Genome) -> Vector:
        """A point, shape (dimension,), that decodes to `genome` (float genes up to rounding)."""
        point = np.full(self.dimension, 0.5)
        free = self._free
        point[: len(free)] = (self._space.encode(genome)[free] - self._low[free]) / self._width[free]
        return point.clip(0.0, 1.0)


def _varies(gene: Gene) -> bool:
    return len(gene.choices) > 1 if isinstance(gene, CategoryGene) else gene.low < gene.high
