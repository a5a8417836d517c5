"""The magnitudes of a task vector, sorted and thinned out once: the k-th largest can then be told for every k."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from ...core import kernels

_LEVELS = 1 << 12
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Magnitudes:
    """The magnitudes of a task vector in descending order, thinned out to some thousand levels.

    They are taken in float32, or in float64 where the base is float64.

    Attributes:
        count: number of elements.
        at_least: for each level, from the largest down: how many elements are in it or above.
        smallest, largest: the extreme magnitudes in each level. No magnitude is in two levels; where the task
            vector has few different ones (as small changes of bfloat16 weights have), each has a level of its own.
    """

    count: int
    at_least: npt.NDArray[np.int64]
    smallest: npt.NDArray[np.floating]
    largest: npt.NDArray[np.floating]

    @classmethod
    def of(cls, base: torch.Tensor, source: torch.Tensor) -> Magnitudes:
        """Sorts the magnitudes of the task vector source - base (any shape, any device)."""
        values = _ascending(_values(base, source))
        if not values.numel():
            return cls(0, np.zeros(0, np.int64), np.zeros(0), np.zeros(0))
        last = torch.tensor([values.numel() - 1], device=values.device)
        ends = torch.cat([(values[1:] != values[:-1]).nonzero().view(-1), last])  # of each magnitude
        if ends.numel() > _LEVELS:
            shares = torch.linspace(0, int(last), _LEVELS, device=values.device, dtype=torch.float64).long()
            chosen = torch.searchsorted(ends, shares)
            ends = ends[torch.unique(torch.cat([chosen, (chosen - 1).clamp_(min=0)]))]  # frequent ones on their own
        starts = torch.cat([torch.zeros_like(ends[:1]), ends[:-1] + 1])
        found = (values.numel() - starts, values[starts], values[ends])
        return cls(values.numel(), *(part.flip(0).cpu().numpy() for part in found))

    def kth_largest(self, k: int, base: torch.Tensor, source: torch.Tensor) -> float:
        """The k-th largest magnitude, exactly.

        Args:
            k: 1 to `count`.
            base, source: the tensors that were sketched, looked at only if the level of the k-th largest holds
                several magnitudes.
        """
        place = int(np.searchsorted(self.at_least, k))
        low, high = self.smallest[place], self.largest[place]
        if not low < high:
            return float(low)
        above = int(self.at_least[place - 1]) if place else 0
        if base.dtype == torch.float64 or base.device.type != "cpu":
            values = _values(base, source)
            inside = values[(values >= float(low)) & (values <= float(high))].cpu().numpy()
        else:
            inside = kernels.magnitudes_between(base, source, low, high, int(self.at_least[place]) - above)
        place_inside = inside.size - (k - above)
        return float(np.partition(inside, place_inside)[place_inside])


def _values(base: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    work = torch.float64 if base.dtype == torch.float64 else torch.float32
    values = torch.empty(base.numel(), dtype=work, device=base.device)
    one, zero = source.reshape(-1), base.reshape(-1)
    for start in range(0, base.numel(), _BLOCK):  # whole copies in float32 would take three times the memory
        block = slice(start, start + _BLOCK)
        torch.sub(one[block].to(work), zero[block].to(work), out=values[block]).abs_()
    return values


def _ascending(values: torch.Tensor) -> torch.Tensor:
    if values.device.type != "cpu":
        return values.sort().values
    values.numpy().sort()  # in place, and several times faster than torch's
    return values


def magnitudes(base: torch.Tensor, sources: Sequence[torch.Tensor]) -> list[Magnitudes]:
    """The sketch of each source's task vector."""
    return [Magnitudes.of(base, source) for source in sources]


def kept_largest(density: float, known: Magnitudes, base: torch.Tensor, source: torch.Tensor) -> float:
    """The smallest magnitude kept if the largest max(1, floor(density * n)) of n elements are; infinity at density 0.

    Elements of exactly this magnitude are all kept, as in the authors' code of TIES, even if that makes them a few
    more: which ones to drop would be a matter of their order in memory.
    """
    if density >= 1 or not known.count:
        return 0.0
    return known.kth_largest(max(1, int(density * known.count)), base, source) if density > 0 else float("inf")
