"""Parquet tables, as a header and rows; PyArrow reads and writes them (extra `tables`)."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from ..core.errors import ConfigurationError

PANDAS_INDEX = "__index_level_0__"


def read_parquet(file: Path) -> tuple[list[str], list[list[Any]]]:
    """Header and rows; the index of a pandas frame comes first, as `model` if it has no name.

    Raises:
        ConfigurationError: PyArrow is not installed.
    """
    table = _parquet().read_table(file)
    described = (table.schema.pandas_metadata or {}).get("index_columns", [])
    index = [name for name in described if isinstance(name, str)]
    header = [*index, *(name for name in table.column_names if name not in index)]
    columns = [table.column(name).to_pylist() for name in header]
    return ["model" if name == PANDAS_INDEX else name for name in header], [
        list(row) for row in zip(*columns, strict=True)
    ]


def write_parquet(file: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Raises ConfigurationError if PyArrow is not installed."""
    parquet = _parquet()
    columns = {name: [row[place] for row in rows] for place, name in enumerate(header)}
    parquet.write_table(import_module("pyarrow").table(columns), file)


def _parquet() -> Any:
    try:
        return import_module("pyarrow.parquet")
    except ImportError as error:
        raise ConfigurationError(
            "Parquet files need PyArrow: pip install 'heterosis[tables]', or save the table as CSV"
        ) from error
