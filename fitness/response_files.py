"""Response matrices as files, by the ending of the name.

| ending | holds |
|---|---|
| .csv, .parquet | models in rows: first their names, then a column per item id; an empty cell was not asked |
| .csv, .parquet | one response a row: the columns `model`, `item`, `score` |
| .csv, .json | item parameters of a 2PL (`item_parameters.py`), from which models are simulated |
| .npz | `values` (or `Y`), models x items; `models`; `items` |
| .jsonl, .jsonlines | py-irt: {"subject_id": ..., "responses": {item id: response, ...}} a line |
"""

from __future__ import annotations

import csv
import json
import os
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import ConfigurationError, did_you_mean
from .item_parameters import ItemParameters
from .response_matrix import ResponseMatrix
from .tables import read_parquet, write_parquet

LONG = ("model", "item", "score")


def read_responses(path: str | os.PathLike[str], simulated: int, seed: int) -> ResponseMatrix:
    """See `ResponseMatrix.read`."""
    file = Path(path)
    readers: Mapping[str, Callable[[Path], ResponseMatrix | ItemParameters]] = {
        ".csv": lambda file: _from_table(*_read_csv(file)),
        ".parquet": lambda file: _from_table(*read_parquet(file)),
        ".npz": _read_npz,
        ".jsonl": _read_lines,
        ".jsonlines": _read_lines,
        ".json": lambda file: ItemParameters.from_json(json.loads(file.read_text(encoding="utf-8"))),
    }
    if file.suffix.lower() not in readers:
        raise ConfigurationError(f"{file}: unknown ending. {did_you_mean(file.suffix, readers)}")
    try:
        found = readers[file.suffix.lower()](file)
    except ConfigurationError as error:
        raise ConfigurationError(f"{file}: {error}") from error
    except (OSError, ValueError, zipfile.BadZipFile) as error:  # JSON's and Unicode's errors are ValueErrors
        raise ConfigurationError(f"{file} cannot be read: {error}") from error
    return found.simulate(simulated, seed) if isinstance(found, ItemParameters) else found


def write_responses(matrix: ResponseMatrix, path: str | os.PathLike[str]) -> None:
    """See `ResponseMatrix.write`."""
    file = Path(path)
    cells = [[None if np.isnan(value) else float(value) for value in row] for row in matrix.values]
    if file.suffix.lower() == ".npz":
        np.savez_compressed(
            file, values=matrix.values, models=np.array(matrix.models, str), items=np.array(matrix.items, str)
        )
    elif file.suffix.lower() == ".csv":
        with file.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["model", *matrix.items])
            for model, row in zip(matrix.models, cells, strict=True):
                writer.writerow([model, *("" if cell is None else f"{cell:.17g}" for cell in row)])
    elif file.suffix.lower() == ".parquet":
        write_parquet(file, ["model", *matrix.items], [[m, *row] for m, row in zip(matrix.models, cells, strict=True)])
    else:
        raise ConfigurationError(f"{file}: unknown ending. {did_you_mean(file.suffix, ('.npz', '.csv', '.parquet'))}")


def _read_csv(file: Path) -> tuple[list[str], list[list[Any]]]:
    with file.open(encoding="utf-8-sig", newline="") as stream:
        header, *rows = [row for row in csv.reader(stream) if row] or [[]]
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise ConfigurationError(f"row {number} has {len(row)} cells; the header has {len(header)}")
    return header, rows


def _from_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> ResponseMatrix | ItemParameters:
    """What a table with a header holds, told by its columns."""
    if len(header) < 2:
        raise ConfigurationError(f"the header is {list(header)}; give the model's column, then a column per item")
    if set(header) == set(LONG):
        columns = [header.index(name) for name in LONG]
        return _from_answers(tuple(row[column] for column in columns) for row in rows)
    if ItemParameters.is_header(header):
        return ItemParameters.from_columns({name: [row[at] for row in rows] for at, name in enumerate(header)})
    if any(not str(item).strip() for item in header[1:]):
        raise ConfigurationError("a column has no name: responses are matched by item id, never by position")
    models = tuple(str(row[0]) for row in rows)
    values = [
        [_number(cell, model, item) for item, cell in zip(header[1:], row[1:], strict=True)]
        for model, row in zip(models, rows, strict=True)
    ]
    return ResponseMatrix(models, tuple(header[1:]), np.array(values, np.float64).reshape(len(models), -1))


def _from_answers(answers: Iterable[tuple[Any, Any, Any]]) -> ResponseMatrix:
    """From (model, item, score), each pair once."""
    found: dict[tuple[str, str], float] = {}
    for model, item, score in answers:
        pair = (str(model), str(item))
        if pair in found:
            raise ConfigurationError(f"the response of {pair[0]!r} to {pair[1]!r} is there more than once; keep one")
        found[pair] = _number(score, *pair)
    models = list(dict.fromkeys(model for model, _ in found))
    items = list(dict.fromkeys(item for _, item in found))
    rows, columns = ({name: place for place, name in enumerate(names)} for names in (models, items))
    values = np.full((len(models), len(items)), np.nan)
    for (model, item), score in found.items():
        values[rows[model], columns[item]] = score
    return ResponseMatrix(tuple(models), tuple(items), values)


def _read_npz(file: Path) -> ResponseMatrix:
    with np.load(file, allow_pickle=False) as stored:
        name = next((name for name in ("values", "Y") if name in stored), None)
        if name is None:
            raise ConfigurationError(f"there is no array `values` (or `Y`) of models x items, but {sorted(stored)}")
        values = np.asarray(stored[name], np.float64)
        for needed in ("models", "items"):
            if needed not in stored:
                what = "rows" if needed == "models" else "columns"
                raise ConfigurationError(
                    f"there is no array `{needed}`, so nothing says what the {what} of `{name}` are: responses are "
                    "matched by id, never by position. Add one, a name each"
                )
        models, items = (tuple(str(value) for value in stored[names]) for names in ("models", "items"))
    return ResponseMatrix(models, items, values)


def _read_lines(file: Path) -> ResponseMatrix:
    """py-irt's JSON lines; a line per model (or several with different items)."""

    def answers() -> Iterable[tuple[Any, Any, Any]]:
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            if line.strip():
                content = json.loads(line, object_pairs_hook=_once)
                responses = content.get("responses") if isinstance(content, dict) else None
                if not isinstance(responses, dict) or "subject_id" not in content:
                    raise ConfigurationError(
                        f'line {number} is not {{"subject_id": ..., "responses": {{item id: response}}}}'
                    )
                yield from ((content["subject_id"], item, response) for item, response in responses.items())

    return _from_answers(answers())


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, in which no key may be there twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, _ in pairs if sum(other == key for other, _ in pairs) > 1)
        raise ConfigurationError(f"the item {twice!r} is there more than once; keep one")
    return found


def _number(cell: Any, model: str, item: str) -> float:
    """A response; NaN for an empty cell."""
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return np.nan
    try:
        return float(cell)
    except (TypeError, ValueError):
        raise ConfigurationError(
            f"the response of {model!r} to {item!r} is {cell!r}; give a number between 0 and 1, or nothing"
        ) from None
