"""Genes: one named choice each (a float range, an integer range, or categories), perhaps only sometimes active."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

from .errors import ConfigurationError

GeneValue: TypeAlias = float | int | str | bool


@dataclass(frozen=True)
class Condition:
    """A gene is active only while the category gene `gene` is active and has one of `values`."""

    gene: str
    values: tuple[GeneValue, ...]


@dataclass(frozen=True)
class FloatGene:
    """A real number in [`low`, `high`].

    Raises:
        ConfigurationError: a bound is not finite, or the range is upside down.
    """

    name: str
    low: float
    high: float
    active_when: Condition | None = None

    def __post_init__(self) -> None:
        _check_range(self.name, self.low, self.high)

    def contains(self, value: GeneValue) -> bool:
        """Whether `value` is a number within the bounds."""
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high


@dataclass(frozen=True)
class IntegerGene:
    """A whole number in [`low`, `high`], both ends included.

    Raises:
        ConfigurationError: the range is upside down.
    """

    name: str
    low: int
    high: int
    active_when: Condition | None = None

    def __post_init__(self) -> None:
        _check_range(self.name, self.low, self.high)

    def contains(self, value: GeneValue) -> bool:
        """Whether `value` is a whole number within the bounds."""
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high


@dataclass(frozen=True)
class CategoryGene:
    """One of `choices`, which have no order.

    Raises:
        ConfigurationError: there are no choices, or one is given twice.
    """

    name: str
    choices: tuple[GeneValue, ...]
    active_when: Condition | None = None

    def __post_init__(self) -> None:
        if not self.choices:
            raise ConfigurationError(f"gene {self.name!r} has no choices; give at least one")
        if len(set(self.choices)) != len(self.choices):
            raise ConfigurationError(f"gene {self.name!r} has a choice twice: {list(self.choices)}")

    def contains(self, value: GeneValue) -> bool:
        """Whether `value` is one of the choices."""
        return value in self.choices


Gene: TypeAlias = FloatGene | IntegerGene | CategoryGene


def _check_range(name: str, low: float, high: float) -> None:
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ConfigurationError(f"gene {name!r}: the range [{low}, {high}] is not finite")
    if low > high:
        raise ConfigurationError(f"gene {name!r}: the range [{low}, {high}] is upside down; write [{high}, {low}]")
