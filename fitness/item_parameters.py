"""Items' parameters of a 2PL, published without responses: models are simulated to stand in for references."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.contracts.estimator import Matrix
from ..core.errors import ConfigurationError
from .response_matrix import ResponseMatrix

_COLUMN = re.compile(r"item|[abd]|[ab]\d+")


@dataclass(frozen=True)
class ItemParameters:
    """A 2PL: the chance of a right answer is sigmoid(a·theta + d), with abilities theta ~ N(0, I).

    Attributes:
        items: their ids.
        loadings: shape (items, dimensions), a.
        intercepts: shape (items,), d; a difficulty b is d = -a·b.
    """

    items: tuple[str, ...]
    loadings: Matrix
    intercepts: Matrix

    @staticmethod
    def is_header(names: Sequence[str]) -> bool:
        """Whether these are columns of parameters: `item`, `a` (or `a1`, `a2`, ...), `d` or `b` (`b1`, `b2`, ...)."""
        return "item" in names and ("a" in names or "a1" in names) and all(_COLUMN.fullmatch(name) for name in names)

    @classmethod
    def from_columns(cls, columns: Mapping[str, Sequence[Any]]) -> ItemParameters:
        """From columns as `is_header` says; texts are read as numbers.

        Raises:
            ConfigurationError: it cannot be told what a column means, or a parameter is not a finite number.
        """
        if not cls.is_header(list(columns)):
            raise ConfigurationError(
                f"the columns {sorted(columns)} are no item parameters; give item, a (or a1, a2, ...), and d or b"
            )
        items = tuple(str(item) for item in columns["item"])
        dimensions = sorted(
            (name for name in columns if re.fullmatch(r"a\d*", name)), key=lambda name: int(name[1:] or 0)
        )
        difficulties = [name.replace("a", "b") for name in dimensions]
        loadings = np.stack([_numbers(name, columns[name], items) for name in dimensions], axis=1)
        given = sorted(set(columns) - {"item", *dimensions})
        if given == ["d"]:
            return cls(items, loadings, _numbers("d", columns["d"], items))
        if given == sorted(difficulties):
            difficulty = np.stack([_numbers(name, columns[name], items) for name in difficulties], axis=1)
            return cls(items, loadings, -(loadings * difficulty).sum(axis=1))
        raise ConfigurationError(
            f"with {', '.join(dimensions)} give either d or {', '.join(difficulties)}, "
            f"not {', '.join(given) or 'nothing'}"
            + (": programs differ in what one b means for several dimensions" if given == ["b"] else "")
        )

    @classmethod
    def from_json(cls, content: Any) -> ItemParameters:
        """From columns, {"item": [...], "a": [...], ...}, or from rows, [{"item": ..., "a": ..., ...}, ...]."""
        if isinstance(content, list) and content and all(isinstance(row, dict) for row in content):
            if any(row.keys() != content[0].keys() for row in content):
                raise ConfigurationError("the items do not all have the same parameters")
            content = {name: [row[name] for row in content] for name in content[0]}
        if not isinstance(content, dict) or not all(isinstance(column, list) for column in content.values()):
            raise ConfigurationError("item parameters are a list of objects, or an object of lists")
        if len({len(column) for column in content.values()}) > 1:
            raise ConfigurationError("the columns are not of one length")
        return cls.from_columns(content)

    def simulate(self, models: int, seed: int) -> ResponseMatrix:
        """Responses, 0 or 1, of so many models with abilities drawn from N(0, I)."""
        lots = np.random.default_rng(seed)
        abilities = lots.standard_normal((models, self.loadings.shape[1]))
        logits = abilities @ self.loadings.T + self.intercepts
        right = lots.random(logits.shape) < 1.0 / (1.0 + np.exp(-np.clip(logits, -500.0, 500.0)))
        names = tuple(f"simulated {number}" for number in range(1, models + 1))
        return ResponseMatrix(names, self.items, right.astype(np.float64))


def _numbers(name: str, cells: Sequence[Any], items: Sequence[str]) -> Matrix:
    values = np.empty(len(cells))
    for place, cell in enumerate(cells):
        try:
            values[place] = float(cell)
        except (TypeError, ValueError):
            values[place] = np.nan
        if not np.isfinite(values[place]):
            raise ConfigurationError(f"{name} of the item {items[place]!r} is {cell!r}, no finite number")
    return values
