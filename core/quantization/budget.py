"""Budgets: a limit that no candidate exceeds, and the costs of levels that it is kept with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np

from ..errors import ConfigurationError
from ..genes import GeneValue
from ..genome import content_hash

Unit: TypeAlias = Literal["bits", "bytes", "memory"]
DEFAULT_CONTEXT = 2048
_SIZES = {"": 1, "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_MOST_BITS = 64


@dataclass(frozen=True)
class Budget:
    """What a candidate may take at most.

    Attributes:
        unit: `bits` for each weight whose level is searched, scales and all; `bytes` of the exported weight files;
            `memory`: bytes of these files and of the keys and values of `context` tokens.
        limit: in that unit.
    """

    unit: Unit
    limit: float
    context: int = DEFAULT_CONTEXT

    @classmethod
    def parse(cls, content: Any, where: str) -> Budget:
        """Reads `3.5` (bits), `60MB`, `{bits: 3.5}`, `{bytes: 60MB}` or `{memory: 1.5GiB, context: 4096}`.

        Raises:
            ConfigurationError: it is something else.
        """
        if isinstance(content, Mapping):
            unit = next((unit for unit in ("bits", "bytes", "memory") if unit in content), None)
            extra = set(content) - {unit, *(["context"] if unit == "memory" else [])}
            context = content.get("context", DEFAULT_CONTEXT)
            if unit is not None and not extra and type(context) is int and context > 0:
                number = _number(content[unit], unit, where)
                return cls(unit, number, context)  # type: ignore[arg-type]
        elif isinstance(content, str) or (isinstance(content, int | float) and content > _MOST_BITS):
            return cls("bytes", _number(content, "bytes", where))
        elif isinstance(content, int | float) and not isinstance(content, bool):
            return cls("bits", _number(content, "bits", where))
        raise ConfigurationError(
            f"{where}: a budget is a number of bits per weight (3.5), a size (60MB), or `bits:`, `bytes:` or `memory:` "
            f"(perhaps with `context:`) and one of these, not {content!r}"
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready content that `parse` reads back."""
        return {self.unit: self.limit} | ({"context": self.context} if self.unit == "memory" else {})


@dataclass(frozen=True)
class LevelCosts:
    """What genomes cost: a fixed part, and for each level gene what its level adds. All numbers are whole.

    Attributes:
        costs: by gene, what each level adds, from the cheapest to the dearest.
        weights: by gene, how many weights it decides about.
        limit: that `total` may not exceed; None for no limit.
    """

    fixed: int
    costs: Mapping[str, Mapping[str, int]]
    weights: Mapping[str, int] = field(default_factory=dict)
    limit: int | None = None

    @property
    def least(self) -> int:
        """What the cheapest genome costs."""
        return self.fixed + sum(min(levels.values()) for levels in self.costs.values())

    def total(self, values: Mapping[str, GeneValue]) -> int:
        """What a genome costs."""
        return self.fixed + sum(levels[str(values[gene])] for gene, levels in self.costs.items())

    def fits(self, values: Mapping[str, GeneValue]) -> bool:
        """Whether a genome keeps the limit."""
        return self.limit is None or self.total(values) <= self.limit

    def repaired(self, values: Mapping[str, GeneValue]) -> dict[str, GeneValue]:
        """The genome itself if it keeps the limit; else one near it that does.

        Genes drawn at random, but always the same for the same genome, are lowered a step each until it fits; then
        those that were lowered too far are raised again as long as it fits.
        """
        found = dict(values)
        if self.limit is None or self.fits(values):
            return found
        random = np.random.default_rng(int(content_hash(dict(sorted(values.items())))[:16], 16))
        left = self.limit - self.total(values)
        lowerable = [gene for gene in self.costs if self._below(gene, found[gene]) is not None]
        lowered: dict[str, None] = {}
        while left < 0:
            gene = lowerable[int(random.integers(len(lowerable)))]
            lower = self._below(gene, found[gene])
            assert lower is not None
            left += self._cost(gene, found[gene]) - self._cost(gene, lower)
            found[gene] = lower
            lowered[gene] = None
            if self._below(gene, lower) is None:
                lowerable.remove(gene)
        for gene in random.permutation(list(lowered)).tolist():
            highest = self._cost(gene, values[gene])
            now = self._cost(gene, found[gene])
            better = [level for level, cost in self.costs[gene].items() if now < cost <= min(highest, now + left)]
            if better:
                left -= self._cost(gene, better[-1]) - now
                found[gene] = better[-1]
        return found

    def _cost(self, gene: str, level: GeneValue) -> int:
        return self.costs[gene][str(level)]

    def _below(self, gene: str, level: GeneValue) -> str | None:
        cheaper = [other for other, cost in self.costs[gene].items() if cost < self._cost(gene, level)]
        return cheaper[-1] if cheaper else None


def _number(content: Any, unit: str, where: str) -> float:
    number: float | None = None
    if isinstance(content, int | float) and not isinstance(content, bool):
        number = float(content)
    elif isinstance(content, str) and unit != "bits":
        match = re.fullmatch(r"\s*([\d.]+)\s*([A-Za-z]*)\s*", content)
        if match and match[2] in _SIZES and match[1].count(".") <= 1 and match[1] != ".":
            number = float(match[1]) * _SIZES[match[2]]
    if number is None or not 0 < number < float("inf"):
        raise ConfigurationError(
            f"{where}: {unit} must be "
            + ("a positive number" if unit == "bits" else "a size such as 60MB or 1.5GiB")
            + f", not {content!r}"
        )
    return number
