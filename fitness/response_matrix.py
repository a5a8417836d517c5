"""A response matrix: which models answered which items how well. Columns are known by item id, never by position."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..core.contracts.estimator import Matrix
from ..core.errors import ConfigurationError


@dataclass(frozen=True)
class ResponseMatrix:
    """Models' responses to items.

    Attributes:
        models: their names, each once.
        items: their ids, each once.
        values: shape (models, items), in [0, 1]; NaN where a model was not asked.

    Raises:
        ConfigurationError: a model or an item is there twice, a value is outside [0, 1], or shapes do not fit.
    """

    models: tuple[str, ...]
    items: tuple[str, ...]
    values: Matrix

    def __post_init__(self) -> None:
        values = np.asarray(self.values, dtype=np.float64)
        if values.shape != (len(self.models), len(self.items)):
            raise ConfigurationError(
                f"responses are of shape {values.shape}, for {len(self.models)} models and {len(self.items)} items"
            )
        for what, names in (("model", self.models), ("item", self.items)):
            if twice := [name for name, count in Counter(names).items() if count > 1]:
                raise ConfigurationError(
                    f"the {what} {twice[0]!r} is there more than once; keep one. Is it a header at all?"
                    if what == "item"
                    else f"the {what} {twice[0]!r} is there more than once; keep one"
                )
        outside = np.argwhere(~np.isnan(values) & ~((values >= 0) & (values <= 1)))
        if outside.size:
            row, column = outside[0]
            raise ConfigurationError(
                f"the response of {self.models[row]!r} to {self.items[column]!r} is {values[row, column]:g}; "
                "responses are between 0 and 1: divide by the highest score there is"
            )
        object.__setattr__(self, "values", values)

    def aligned(self, item_ids: Sequence[str]) -> ResponseMatrix:
        """These items only, in this order; others are dropped.

        Raises:
            ConfigurationError: an item is missing here, or asked for twice.
        """
        if twice := [name for name, count in Counter(item_ids).items() if count > 1]:
            raise ConfigurationError(f"the item {twice[0]!r} of the task is there more than once")
        columns = {item: column for column, item in enumerate(self.items)}
        missing = [item for item in item_ids if item not in columns]
        if missing:
            raise ConfigurationError(
                f"no responses to {len(missing)} of the task's {len(item_ids)} items, such as {missing[0]!r}; the "
                f"matrix has {len(self.items)} items, such as {self.items[0] if self.items else None!r}. "
                "Its item ids must be the task's own"
            )
        chosen = np.array([columns[item] for item in item_ids], np.intp)
        return ResponseMatrix(self.models, tuple(item_ids), self.values[:, chosen])

    @classmethod
    def read(cls, path: str | os.PathLike[str], simulated: int = 200, seed: int = 0) -> ResponseMatrix:
        """Reads a file by the ending of its name; see `response_files.py` for what each may hold.

        Args:
            simulated: of a file of item parameters, so many models are simulated.
            seed: of their abilities and responses.

        Raises:
            ConfigurationError: it cannot be read, or says not which response is to which item.
        """
        from .response_files import read_responses

        return read_responses(path, simulated, seed)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Writes .npz, .csv or .parquet, by the ending of the name.

        Raises:
            ConfigurationError: the ending is another, or .parquet and PyArrow is not installed.
        """
        from .response_files import write_responses

        write_responses(self, path)
