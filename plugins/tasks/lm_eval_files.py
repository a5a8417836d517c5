"""A task's configuration: by name from those that come with the harness, or from a YAML file of one's own."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...core.errors import ConfigurationError


def read_config(path: Path, name: str | None) -> dict[str, Any]:
    """The configuration of one task; paths of data in a file of one's own start at its folder.

    Args:
        path: a YAML file, with no `name`; or any folder, with the name of a task that comes with the harness.

    Raises:
        ConfigurationError: there is no such task, or its file cannot be read.
    """
    from lm_eval.tasks._yaml_loader import load_yaml

    if path.is_dir():
        if name is None:
            raise ConfigurationError("task type lm_eval: say which `task` of the harness, or the `file` of one's own")
        file = _find(name)
    elif name is not None:
        raise ConfigurationError(f"task type lm_eval: give either `task` ({name!r}) or a file ({path})")
    else:
        file = path
    try:
        config = dict(load_yaml(file))
    except Exception as error:  # a function in it is imported
        raise ConfigurationError(f"the task file {file} cannot be read: {error}") from error
    if "group" in config or not isinstance(config.get("task"), str):
        raise ConfigurationError(f"{file} does not describe one task; it must have a text `task`, its name")
    if not path.is_dir():
        _start_paths(config, path.resolve().parent)
    return config


def _find(name: str) -> Path:
    """The file of one of the harness's tasks; the harness itself would parse 13,000 files first."""
    import lm_eval.tasks

    for file in sorted(Path(lm_eval.tasks.__file__).parent.rglob("*.yaml")):
        if name.encode() in file.read_bytes() and _describes(file, name):
            return file
    index = lm_eval.tasks.TaskManager()
    if name in index.all_groups or name in index.all_tags:
        entry = index.task_index[name]
        members = sorted(entry.tags) or [str(part) for part in (entry.cfg or {}).get("task", [])]
        raise ConfigurationError(f"{name!r} is a group of tasks; name one of them: {', '.join(members[:20])} ...")
    near = difflib.get_close_matches(name, index.all_subtasks, n=5)
    raise ConfigurationError(f"the harness has no task {name!r}" + (f"; it has {', '.join(near)}" if near else ""))


def _describes(file: Path, name: str) -> bool:
    from lm_eval.tasks._yaml_loader import load_yaml

    try:
        return bool(load_yaml(file, resolve_func=False).get("task") == name)
    except Exception:  # the harness passes over files that it cannot read, too
        return False


def _start_paths(config: dict[str, Any], folder: Path) -> None:
    def started(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: started(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [started(entry) for entry in value]
        here = isinstance(value, str) and not Path(value).is_absolute() and any(folder.glob(value))
        return str(folder / value) if here else value

    given = config.get("dataset_kwargs") or {}
    paths = {key: started(given[key]) for key in ("data_files", "data_dir") if given.get(key)}
    if paths:
        config["dataset_kwargs"] = {**given, **paths}
