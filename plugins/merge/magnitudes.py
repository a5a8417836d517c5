"""The magnitudes of a task vector, sketched once: which is the k-th largest can then be told for every k."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

_LOW_BITS = 15
_LEVELS = 1 << 16


@dataclass(frozen=True)
class Magnitudes:
    """How many elements of a task vector have magnitudes of each level; a level is the upper bits of a float32.

    Attributes:
        count: number of elements.
        at_least: for each level that occurs, from the largest down: how many elements are of it or above.
        smallest, largest: the extreme magnitudes of each such level, float32.
    """

    count: int
    at_least: npt.NDArray[np.int64]
    smallest: npt.NDArray[np.float32]
    largest: npt.NDArray[np.float32]

    @classmethod
    def of(cls, change: torch.Tensor) -> Magnitudes:
        """Sketches a task vector (any shape; float64 is rounded to float32) in a few passes over it."""
        bits = change.reshape(-1).float().abs().view(torch.int32)
        levels = bits >> _LOW_BITS
        counts = torch.bincount(levels, minlength=_LEVELS).cpu().numpy()
        extremes = []
        for reduction in ("amin", "amax"):
            empty = torch.zeros(_LEVELS, dtype=torch.int32, device=bits.device)
            found = empty.scatter_reduce(0, levels.long(), bits, reduction, include_self=False)
            extremes.append(found.view(torch.float32).cpu().numpy())
        used = np.flatnonzero(counts)[::-1]
        return cls(change.numel(), np.cumsum(counts[used]), extremes[0][used], extremes[1][used])

    def kth_largest(self, k: int, change: Callable[[], torch.Tensor]) -> float:
        """The k-th largest magnitude, exactly (of the task vector in float32).

        Args:
            k: 1 to `count`.
            change: gives the task vector; called only if the level of the k-th largest has several magnitudes.
        """
        place = int(np.searchsorted(self.at_least, k))
        low, high = self.smallest[place], self.largest[place]
        if low == high:
            return float(low)
        values = change().reshape(-1).float().abs()
        inside = values[(values >= low) & (values <= high)].cpu().numpy()
        rank = k - (int(self.at_least[place - 1]) if place else 0)
        return float(np.partition(inside, inside.size - rank)[inside.size - rank])


def magnitudes(base: torch.Tensor, sources: Sequence[torch.Tensor]) -> list[Magnitudes]:
    """The sketch of each source's task vector, taken in float32."""
    return [Magnitudes.of(source.float() - base.float()) for source in sources]


def kept_largest(density: float, known: Magnitudes, change: Callable[[], torch.Tensor]) -> float:
    """The smallest magnitude kept if the largest max(1, floor(density * n)) of n elements are; infinity at density 0.

    Elements of exactly this magnitude are all kept, as in the authors' code of TIES, even if that makes them a few more:
    which ones to drop would be a matter of their order in memory.
    """
    if density >= 1 or not known.count:
        return 0.0
    return known.kth_largest(max(1, int(density * known.count)), change) if density > 0 else float("inf")
