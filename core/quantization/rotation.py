"""Orthogonal rotations of a model's hidden features that spread outliers: Hadamard matrices, and learned ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property

import torch

from ..errors import ConfigurationError, did_you_mean

HADAMARD = "hadamard"
KURTAIL = "kurtail"
KINDS = (HADAMARD, KURTAIL)
MATRIX = "rotation"
"""What the one tensor of a file with a learned rotation is called."""
_MOST = 64
"""The largest factor that is multiplied with as a matrix: larger ones are Kronecker products of such."""


@dataclass(frozen=True)
class Rotation:
    """R = diag(signs) H / sqrt(size): orthogonal, the signs drawn from the seed (Ashkboos et al., QuaRot, 2024).

    H is a Hadamard matrix where one of that order is known: powers of two, Paley's, and products of the two (576 = 36
    * 16). For other sizes it has such blocks along its diagonal, each of the largest power of two that divides the
    size, and outliers are spread within blocks only.

    Attributes:
        kind: `hadamard`.
        size: of the features that are rotated.
        seed: of the signs.
    """

    kind: str
    size: int
    seed: int

    @cached_property
    def _signs(self) -> torch.Tensor:
        generator = torch.Generator().manual_seed(self.seed)
        return torch.randint(0, 2, (self.size,), generator=generator).mul_(2).sub_(1).float()

    def apply(self, rows: torch.Tensor) -> torch.Tensor:
        """Rows times R: shape (..., size), float32 or float64, which is kept."""
        factors = hadamard_factors(self.size)
        result = rows * self._signs.to(rows)
        right = self.size
        for factor in factors:
            order = len(factor)
            right //= order
            matrix = factor.to(rows)
            # the Kronecker factors one after the other: (..., left, order, right) is multiplied along its middle
            result = matrix.T @ result.reshape(-1, order, right) if right > 1 else result.reshape(-1, order) @ matrix
        scale = math.prod(len(factor) for factor in factors if not _is_identity(factor))
        return (result / math.sqrt(scale)).reshape(rows.shape)


@dataclass(frozen=True)
class LearnedRotation:
    """R as it was learned: a tensor of a statistics file (Akhondzadeh et al., KurTail, 2025).

    Attributes:
        kind: `kurtail`.
        size: of the features that are rotated.
        checkpoint: key of the open statistics among the sources.
        tensor: its name there: shape (size, size), float32.
    """

    kind: str
    size: int
    checkpoint: str
    tensor: str


def check_kind(kind: object, calibration: str | Mapping[str, str] | None, where: str) -> str:
    """A rotation's kind as it was given.

    Args:
        calibration: files of texts, where they are given: what one is learned on.

    Raises:
        ConfigurationError: there is none of that name, or nothing that it could be learned on.
    """
    if not isinstance(kind, str) or kind not in KINDS:
        raise ConfigurationError(f"{where}: there is no rotation {kind!r}. {did_you_mean(str(kind), KINDS)}")
    if kind == KURTAIL:
        files = (calibration,) if isinstance(calibration, str) else tuple((calibration or {}).values())
        if not files:
            raise ConfigurationError(
                f"{where}: the rotation {kind!r} is learned on texts; give `calibration`, a file of them, or choose "
                f"{HADAMARD!r}, which needs none"
            )
        if gathered := [file for file in files if file.endswith(".safetensors")]:
            raise ConfigurationError(
                f"{where}: the rotation {kind!r} is learned on texts, and {gathered[0]} in `calibration` holds "
                f"statistics; give the texts, or choose {HADAMARD!r}"
            )
    return kind


@cache
def hadamard_factors(size: int) -> tuple[torch.Tensor, ...]:
    """Matrices whose Kronecker product is of this size, int8: Hadamard matrices, the first perhaps an identity.

    >>> [len(factor) for factor in hadamard_factors(576)]
    [36, 16]
    """
    odd = size // (size & -size)
    first = torch.eye(odd, dtype=torch.int8)
    rest = size // odd
    order = odd
    while odd > 1 and size % order == 0:
        found = paley(order)
        if found is not None:
            first, rest = found, size // order
            break
        order *= 2
    factors = [first] if len(first) > 1 else []
    while rest > 1:
        step = min(rest, _MOST)
        factors.append(_sylvester(step))
        rest //= step
    return tuple(factors) or (first,)


@cache
def paley(order: int) -> torch.Tensor | None:
    """The Hadamard matrix of this order that a prime q gives, int8 (Paley, 1933); None if none does.

    q = order - 1 if that is 3 more than a multiple of 4; q = order / 2 - 1 if that is 1 more.
    """
    if _is_prime(order - 1) and (order - 1) % 4 == 3:
        skew = torch.zeros(order, order, dtype=torch.int8)
        skew[0, 1:], skew[1:, 0] = 1, -1
        skew[1:, 1:] = _jacobsthal(order - 1)
        return skew + torch.eye(order, dtype=torch.int8)
    half = order // 2
    if order % 2 == 0 and _is_prime(half - 1) and (half - 1) % 4 == 1:
        conference = torch.zeros(half, half, dtype=torch.int8)
        conference[0, 1:], conference[1:, 0] = 1, 1
        conference[1:, 1:] = _jacobsthal(half - 1)
        plus = torch.tensor([[1, 1], [1, -1]], dtype=torch.int8)
        minus = torch.tensor([[1, -1], [-1, -1]], dtype=torch.int8)
        return torch.kron(conference, plus) + torch.kron(torch.eye(half, dtype=torch.int8), minus)
    return None


def _jacobsthal(prime: int) -> torch.Tensor:
    """1 where the difference of row and column is a square modulo the prime, -1 where it is none, 0 on the diagonal."""
    symbols = torch.full((prime,), -1, dtype=torch.int8)
    symbols[torch.arange(1, prime) ** 2 % prime] = 1
    symbols[0] = 0
    places = torch.arange(prime)
    return symbols[(places[:, None] - places[None, :]) % prime]


def _sylvester(order: int) -> torch.Tensor:
    matrix = torch.ones(1, 1, dtype=torch.int8)
    for _ in range(order.bit_length() - 1):
        matrix = torch.kron(torch.tensor([[1, 1], [1, -1]], dtype=torch.int8), matrix)
    return matrix


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, math.isqrt(number) + 1))


def _is_identity(factor: torch.Tensor) -> bool:
    return bool((factor == 0).any()) or len(factor) == 1
