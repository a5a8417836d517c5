"""Options of an optimizer: declared once, read from the user's study file, checked with a helpful error."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ...core.errors import ConfigurationError, did_you_mean
from ...core.gene_space import GeneSpace
from ...core.genome import Genome

MIDDLE = "middle"


@dataclass(frozen=True)
class Number:
    """A number in [`low`, `high`], whole or real.

    Attributes:
        default: taken if the user says nothing; None leaves the value to the optimizer.
        meaning: one line for the user.
    """

    default: float | None
    low: float
    meaning: str
    high: float = math.inf
    whole: bool = False

    def read(self, label: str, value: Any) -> float:
        """`value` as a number; raises ConfigurationError if it is none, or out of range."""
        kind = int if self.whole else int | float
        if isinstance(value, bool) or not isinstance(value, kind) or not self.low <= value <= self.high:
            what = "a whole number" if self.whole else "a number"
            limits = f"at least {self.low}" if self.high == math.inf else f"between {self.low} and {self.high}"
            raise ConfigurationError(f"{label} must be {what} {limits}, not {value!r}")
        return value


@dataclass(frozen=True)
class Choice:
    """One of `choices`, all names."""

    default: str
    choices: tuple[str, ...]
    meaning: str

    def read(self, label: str, value: Any) -> str:
        """`value` itself; raises ConfigurationError if it is no choice."""
        if value not in self.choices:
            raise ConfigurationError(f"{label} cannot be {value!r}. {did_you_mean(str(value), self.choices)}")
        return str(value)


Option: TypeAlias = Number | Choice


def read_options(optimizer: str, declared: Mapping[str, Option], given: Mapping[str, Any]) -> dict[str, Any]:
    """A value for every declared option.

    Raises:
        ConfigurationError: an option is unknown, of the wrong type, or out of range.
    """
    for name in given:
        if name not in declared:
            raise ConfigurationError(
                f"the optimizer {optimizer!r} has no option {name!r}. {did_you_mean(name, [*declared, 'first'])}"
            )
    settings: dict[str, Any] = {}
    for name, option in declared.items():
        value = given.get(name, option.default)
        label = f"the optimizer {optimizer!r}: the option {name!r}"
        settings[name] = value if value is None and option.default is None else option.read(label, value)
    return settings


def read_first(space: GeneSpace, given: Any) -> list[Genome]:
    """The genomes to try before any other, without repetitions.

    Args:
        space: what they must belong to.
        given: a list of mappings from gene name to value; the word `middle` stands for the middle of every range.

    Raises:
        ConfigurationError: it is no list, or one of them does not belong to the space.
    """
    if isinstance(given, str | Mapping) or not isinstance(given, Sequence):
        raise ConfigurationError(f"the option 'first' must be a list of genomes (or of the word {MIDDLE!r}): {given!r}")
    genomes: dict[Genome, None] = {}
    for entry in given:
        genomes[_read_genome(space, entry)] = None
    return list(genomes)


def _read_genome(space: GeneSpace, entry: Any) -> Genome:
    if entry == MIDDLE:
        low, high = space.bounds()
        return space.decode(low / 2 + high / 2)
    if not isinstance(entry, Mapping):
        raise ConfigurationError(f"the option 'first' has {entry!r}, which is neither a genome nor {MIDDLE!r}")
    # Encoded and decoded, a 1 written for a float gene becomes the 1.0 that the optimizer itself would propose.
    return space.decode(space.encode(Genome(entry)))
