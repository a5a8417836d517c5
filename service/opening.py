"""Finds databases and studies, without making what is not there."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import ConfigurationError
from .options import DEFAULT_STORAGE, STORAGE_VARIABLE
from .secrets import Url

if TYPE_CHECKING:
    from ..search.study import Study
    from ..storage import Store


def missing_file(storage: str) -> Path | None:
    """The SQLite file that `storage` names, if it does not exist yet.

    Raises:
        ConfigurationError: the URL cannot be used.
    """
    from ..storage.database import parse_url

    url = parse_url(storage)
    if url.get_backend_name() != "sqlite" or Path(str(url.database)).exists():
        return None
    return Path(str(url.database))


@contextmanager
def opened(storage: str) -> Iterator[Store]:
    """A database that exists.

    Raises:
        ConfigurationError: there is none, or the URL cannot be used.
        StorageError: it cannot be opened.
    """
    from ..storage import Store

    file = missing_file(storage)
    if file is not None:
        raise ConfigurationError(
            f"there is no database {file.resolve()}: go to the folder where the study was run, say --storage URL "
            f"(or set {STORAGE_VARIABLE}), or begin with `heterosis run STUDY.yaml`"
        )
    with Store.open(storage) as store:
        yield store


def chosen(store: Store, name: str | None) -> str:
    """The study's name: as given, or the only one there is.

    Raises:
        ConfigurationError: there is no study, none of this name (with the nearest), or several to choose from.
    """
    if name is not None:
        return store.studies.get(name).name
    names = [study.name for study in store.studies.all()]
    if not names:
        raise ConfigurationError(f"{store.database.where} has no study yet; begin with `heterosis run STUDY.yaml`")
    if len(names) > 1:
        raise ConfigurationError(f"{store.database.where} has several studies; name one of them: {', '.join(names)}")
    return names[0]


@contextmanager
def loaded(storage: str, name: str | None, device: str = "cpu") -> Iterator[Study]:
    """A recorded study; its plugins must be installed, its checkpoints are not touched.

    Raises:
        ConfigurationError, StorageError: see `opened` and `chosen`.
        PluginError: a plugin of the study is not installed.
    """
    from ..search.study import Study

    with opened(storage) as store:
        name = chosen(store, name)
    study = Study.load(name, storage, device)
    try:
        yield study
    finally:
        study.close()


def command_line(command: str, name: str, storage: str, *more: str) -> str:
    """What to type for a study, ready to be copied: the database is given again the way it was given."""
    from ..storage.database import parse_url, visible

    words = ["heterosis", command, name, *more]
    if isinstance(storage, Url):
        words += ["--storage", storage.typed] if storage.typed else []
    elif storage != os.environ.get(STORAGE_VARIABLE, DEFAULT_STORAGE):
        words += ["--storage", visible(parse_url(storage)) if "://" in storage else storage]
    return shlex.join(words)
