"""A genome: a value for every active gene, identified by the hash of its canonical JSON."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from .errors import ConfigurationError
from .genes import GeneValue


def canonical_json(value: Any) -> str:
    """JSON with sorted keys, no spaces, and numbers written so that they read back the same.

    Raises:
        ValueError: a number is NaN or infinite.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def content_hash(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value`, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


class Genome(Mapping[str, GeneValue]):
    """An immutable mapping from gene name to value; equal genomes have equal hashes, in any process and order.

    >>> Genome({"b": 1, "a": 0.5}).hash == Genome({"a": 0.5, "b": 1}).hash
    True

    Raises:
        ConfigurationError: a value is NaN or infinite.
    """

    __slots__ = ("_hash", "_values")

    def __init__(self, values: Mapping[str, GeneValue]) -> None:
        for name, value in values.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigurationError(f"gene {name!r} has the value {value}; a gene's value must be finite")
        self._values = {name: _without_negative_zero(values[name]) for name in sorted(values)}
        self._hash = content_hash(self._values)

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON: the genome's identity."""
        return self._hash

    def to_json(self) -> str:
        """The canonical JSON."""
        return canonical_json(self._values)

    @classmethod
    def from_json(cls, text: str) -> Genome:
        """The genome that `to_json` wrote."""
        return cls(json.loads(text))

    def __getitem__(self, name: str) -> GeneValue:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Genome) and self._hash == other._hash

    def __hash__(self) -> int:
        return hash(self._hash)

    def __repr__(self) -> str:
        return f"Genome({self._values!r})"


def _without_negative_zero(value: GeneValue) -> GeneValue:
    return value + 0.0 if isinstance(value, float) else value
