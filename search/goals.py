"""Goals of the Python API: `maximize` and `minimize`, which name an objective and the items it is measured on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.contracts import Direction
from ..core.study_spec import ObjectiveSpec, TaskSpec


@dataclass(frozen=True)
class Goal:
    """An objective together with the tasks it needs."""

    objective: ObjectiveSpec
    tasks: Mapping[str, TaskSpec]


def maximize(
    objective: str,
    task: str | Sequence[str] | Mapping[str, TaskSpec] | None = None,
    items: int | None = None,
    type: str = "multiple_choice",  # noqa: A002  (the study file's own word)
    label: str = "",
    **options: Any,
) -> Goal:
    """An objective to make as large as possible.

    Args:
        objective: name of an objective plugin, for example `accuracy`.
        task: a task file, several, or a mapping from name to TaskSpec. A file is dealt into disjoint sets: `items`
            questions for the search, half of the rest each for validation and test.
        items: how many items of each file the search asks (required with files).
        type: the task plugin that reads the files.
        label: what tables call it (default: the objective's name, and the task's if there is one).
        options: for the task plugin.

    Raises:
        ConfigurationError: see TaskSpec.
        PluginError: the task plugin is not installed.
    """
    return _goal("maximize", objective, task, items, type, label, options)


def minimize(
    objective: str,
    task: str | Sequence[str] | Mapping[str, TaskSpec] | None = None,
    items: int | None = None,
    type: str = "multiple_choice",  # noqa: A002
    label: str = "",
    **options: Any,
) -> Goal:
    """An objective to make as small as possible, for example `bytes`; arguments as for `maximize`."""
    return _goal("minimize", objective, task, items, type, label, options)


def _goal(
    direction: Direction,
    objective: str,
    task: str | Sequence[str] | Mapping[str, TaskSpec] | None,
    items: int | None,
    kind: str,
    label: str,
    options: Mapping[str, Any],
) -> Goal:
    if isinstance(task, Mapping):
        tasks = dict(task)
    else:
        files = [] if task is None else [task] if isinstance(task, str) else list(task)
        tasks = {
            Path(file).stem: TaskSpec.from_dict({"type": kind, "file": file, "items": items, **options}, file)
            for file in files
        }
    return Goal(ObjectiveSpec(objective, direction, tuple(tasks), label), tasks)
