"""Estimators by name, and in files: an npz of arrays, in which nothing can be run."""

from __future__ import annotations

import inspect
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from ...core import registry
from ...core.contracts.estimator import Estimator
from ...core.errors import ConfigurationError, PluginError, did_you_mean

_DESCRIPTION = "estimator"


def make(name: str, options: Mapping[str, Any] | None = None, seed: int = 0) -> Estimator:
    """An estimator that is not fitted.

    Raises:
        ConfigurationError: it has no such option, or not with such a value.
        PluginError: there is none of that name.
    """
    found: type[Estimator] = registry.load("estimators", name)
    options = dict(options or {})
    parameters = inspect.signature(found).parameters
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        valid = [parameter for parameter in parameters if parameter != "seed"]
        for option in options:
            if option not in valid:
                raise ConfigurationError(
                    f"the estimator {name!r} has no option {option!r}. {did_you_mean(option, valid)}"
                )
    try:
        return found(seed=seed, **options)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"the estimator {name!r} cannot be made with {options}: {error}") from error


def save(estimator: Estimator, path: str | os.PathLike[str]) -> None:
    """Writes a fitted estimator to an npz file, at once: a reader finds the old file or the new one.

    Args:
        estimator: an installed one.
        path: replaced if it is there.

    Raises:
        ConfigurationError: an option is nothing that JSON has.
        PluginError: what it has learnt is not all numbers.
    """
    made_with = {"name": estimator.name, "options": estimator.options, "seed": estimator.seed}
    try:
        description = json.dumps(made_with)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"the options {estimator.options} cannot be written as JSON: {error}") from error
    arrays: dict[str, Any] = dict(estimator.state())
    if objects := [name for name, values in arrays.items() if values.dtype.hasobject]:
        raise PluginError(f"the estimator {estimator.name!r} keeps objects, not numbers, in {', '.join(objects)}")
    arrays[_DESCRIPTION] = np.array(description)
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with unfinished.open("wb") as file:
            np.savez_compressed(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def load(path: str | os.PathLike[str]) -> Estimator:
    """The estimator that was written to a file, fitted as it was.

    Raises:
        ConfigurationError: the file is not there, damaged, or no estimator's.
        PluginError: the estimator is not installed.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        made_with = json.loads(str(arrays.pop(_DESCRIPTION)))
        name, options, seed = made_with["name"], made_with["options"], made_with["seed"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise ConfigurationError(f"{path} is no file of an estimator: {error!r}. Fit it again and save it") from error
    estimator = make(name, options, seed)
    try:
        estimator.restore(arrays)
    except (KeyError, ValueError, IndexError) as error:
        raise ConfigurationError(
            f"{path} was written by another version of the estimator {name!r}: {error!r}. Fit it again and save it"
        ) from error
    return estimator
