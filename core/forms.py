"""The forms that most merges come down to once their parameters are known; executors run them in one pass of the data.

`apply` is what a form means, in plain torch; the CPU kernels (core/kernels) give the same bits in float32.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from .draws import drawn, highest, second_seed

_SMALLEST_DIVISOR = 1e-8


class Form(ABC):
    """Arithmetic on tensors element by element, as data."""

    @abstractmethod
    def apply(self, base: torch.Tensor | None, sources: Sequence[torch.Tensor], start: int = 0) -> torch.Tensor:
        """The merged tensor.

        Args:
            base, sources: of one shape, floating dtype and device.
            start: the number of the first element, where the tensors are a part of larger ones.

        Returns:
            A new tensor like the inputs.
        """


@dataclass(frozen=True)
class WeightedSum(Form):
    """base_weight * base + sum_i weights_i x_i, summed in float32 at least. No base is needed if its weight is 0."""

    weights: tuple[float, ...]
    base_weight: float = 0.0

    def apply(self, base: torch.Tensor | None, sources: Sequence[torch.Tensor], start: int = 0) -> torch.Tensor:
        """See `Form.apply`."""
        terms = list(zip(sources, self.weights, strict=True))
        if self.base_weight:
            assert base is not None
            terms.insert(0, (base, self.base_weight))
        first, *others = (tensor.to(_wide(tensor)) * weight for tensor, weight in terms)
        for other in others:
            first.add_(other)
        return first.to(sources[0].dtype)


@dataclass(frozen=True)
class Term:
    """What becomes of one source's task vector before it is added.

    Attributes:
        weight: its factor in the sum.
        low, high: elements whose magnitude (taken in float32 at least) is below `low` or above `high` are dropped.
        keep: probability in (0, 1] with which each element is kept; what is drawn depends on `seed` alone.
        scale: a factor that makes up for what was dropped; unlike the weight, it has no part in normalisation.
    """

    weight: float
    low: float = 0.0
    high: float = float("inf")
    keep: float = 1.0
    seed: int = 0
    scale: float = 1.0

    @property
    def is_plain(self) -> bool:
        """Whether nothing is dropped."""
        return self.low <= 0 and self.high == float("inf") and self.keep >= 1


class Thinning(NamedTuple):
    """What some terms do to their task vectors, as rows of numbers, a row for each; None what none of them does.

    Attributes:
        bounds: `low` and `high`.
        draws: the highest number that is drawn, and the two halves of the seed.
        scales: `scale`.
    """

    bounds: list[tuple[float, float]] | None
    draws: list[tuple[int, int, int]] | None
    scales: list[float] | None

    @classmethod
    def of(cls, terms: Sequence[Term]) -> Thinning:
        """The terms' numbers."""
        bounded = any(term.low > 0 or term.high != float("inf") for term in terms)
        random = any(term.keep < 1 for term in terms)
        scaled = any(term.scale != 1 for term in terms)
        return cls(
            [(term.low, term.high) for term in terms] if bounded else None,
            [(highest(term.keep), term.seed, second_seed(term.seed)) for term in terms] if random else None,
            [term.scale for term in terms] if scaled else None,
        )


@dataclass(frozen=True)
class TaskVectorSum(Form):
    """base + factor * sum_i w_i t_i, where t_i is source i minus the base after its `Term` was applied.

    Attributes:
        terms: one for each source.
        consensus: an element counts only where its sign is the elected one: that of sum_i w_i t_i, positive where the
            sum is zero (Yadav et al., 2023, steps 2 and 3).
        normalize: the sum is divided by the sum of the weights (of those that count there, if `consensus`) unless
            that is zero.
        factor: mergekit's `lambda`.
    """

    terms: tuple[Term, ...]
    consensus: bool = False
    normalize: bool = False
    factor: float = 1.0

    def apply(self, base: torch.Tensor | None, sources: Sequence[torch.Tensor], start: int = 0) -> torch.Tensor:
        """See `Form.apply`."""
        assert base is not None
        weights = torch.tensor([term.weight for term in self.terms], dtype=base.dtype, device=base.device)
        changes = (
            thinned(source, base, term, start).mul_(weight)
            for source, term, weight in zip(sources, self.terms, weights, strict=True)
        )
        mixed = self._agreed(list(changes), weights) if self.consensus else self._summed(changes)
        return (mixed if self.factor == 1 else mixed.mul_(self.factor)).add_(base)

    @property
    def divisor(self) -> float:
        """What the sum is divided by where no consensus is asked for."""
        total = sum(term.weight for term in self.terms)
        return total if self.normalize and abs(total) >= _SMALLEST_DIVISOR else 1.0

    def _summed(self, changes: Iterable[torch.Tensor]) -> torch.Tensor:
        mixed = _sum(changes)
        divisor = torch.tensor(self.divisor, dtype=mixed.dtype, device=mixed.device)
        return mixed if self.divisor == 1 else mixed.div_(divisor)

    def _agreed(self, changes: list[torch.Tensor], weights: torch.Tensor) -> torch.Tensor:
        positive = _sum(changes) >= 0
        divisor = _accumulator(changes[0])
        for change, weight in zip(changes, weights, strict=True):
            agrees = torch.where(positive, change > 0, change < 0)
            change.mul_(agrees)
            if self.normalize:
                divisor.add_(agrees * weight)
        mixed = _sum(changes)
        if self.normalize:
            divisor = divisor.to(mixed.dtype)
            mixed.div_(divisor.masked_fill_(divisor == 0, 1))
        return mixed


def thinned(source: torch.Tensor, base: torch.Tensor, term: Term, start: int = 0) -> torch.Tensor:
    """The task vector with what `term` drops set to zero, and scaled; a new tensor."""
    change = source - base
    if term.low > 0 or term.high != float("inf"):
        wide = (source.to(_wide(base)) - base.to(_wide(base))).abs()
        change.mul_(~((wide < term.low) | (wide > term.high)))  # what is not a number is kept
    if term.keep < 1:
        kept = drawn(change.numel(), term.keep, term.seed, start, change.device)
        change.mul_(kept.view(change.shape))
    return change if term.scale == 1 else change.mul_(torch.tensor(term.scale, dtype=change.dtype))


def _sum(tensors: Iterable[torch.Tensor]) -> torch.Tensor:
    first, *others = tensors
    total = _accumulator(first).add_(first)
    for other in others:
        total.add_(other)
    return total.to(first.dtype)


def _accumulator(like: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(like, dtype=_wide(like))


def _wide(like: torch.Tensor) -> torch.dtype:
    return torch.float64 if like.dtype == torch.float64 else torch.float32
