"""A task's items at each stage: search, validation and test never share a question."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..core import registry
from ..core.contracts import Item, Task
from ..core.errors import ConfigurationError
from ..core.genome import canonical_json
from ..core.stage import STAGES, Stage
from ..core.study_spec import TaskSpec


@dataclass(frozen=True)
class StagedItems:
    """The items that a task asks at one stage; `task` scores them."""

    task: Task
    items: tuple[Item, ...]

    def take(self, ids: Sequence[str]) -> StagedItems:
        """Only the items with these ids, in the order of `ids`.

        Raises:
            ConfigurationError: there is no item of an id.
        """
        known = {item.id: item for item in self.items}
        missing = [id_ for id_ in ids if id_ not in known]
        if missing:
            raise ConfigurationError(
                f"the item {missing[0]!r} was to be asked and is not among the {len(known)} of this stage: the task's "
                "file has changed since. Restore it, or start another study"
            )
        return StagedItems(self.task, tuple(known[id_] for id_ in ids))


def load_items(name: str, spec: TaskSpec, folder: Path, seed: int) -> dict[Stage, StagedItems]:
    """Opens a task's files and gives each stage its items; a stage without items is left out.

    Args:
        name: the study's name for the task, for error messages.
        seed: deals the items of a single file; the same seed and items give the same sets, in any order of lines.

    Raises:
        ConfigurationError: a file cannot be used, there are too few items, or two stages share a question.
    """
    if not spec.files:
        staged = _dealt(name, _open(spec, folder / (spec.file or "")), spec.items or 1, seed)
    else:
        staged = {}
        for stage, file in spec.files.items():
            task = _open(spec, folder / file)
            items = task.items[: spec.items] if stage == "search" and spec.items else task.items
            staged[stage] = StagedItems(task, items)
    _check_disjoint(name, staged)
    return staged


def _open(spec: TaskSpec, path: Path) -> Task:
    task: Task = registry.load("tasks", spec.type).open(path, **spec.options)
    return task


def _dealt(name: str, task: Task, searched: int, seed: int) -> dict[Stage, StagedItems]:
    def lot(item: Item) -> str:
        return hashlib.sha256(f"{seed} {item.id}".encode()).hexdigest()

    drawn = sorted(task.items, key=lot)
    if len(drawn) < searched + 2:
        raise ConfigurationError(
            f"task {name!r} has {len(drawn)} items; {searched} for the search leave none for validation and test. "
            "Ask fewer, or add items"
        )
    middle = searched + (len(drawn) - searched) // 2
    sets = drawn[:searched], drawn[searched:middle], drawn[middle:]
    return {stage: StagedItems(task, tuple(items)) for stage, items in zip(STAGES, sets, strict=True)}


def _check_disjoint(name: str, staged: Mapping[Stage, StagedItems]) -> None:
    seen: dict[str, tuple[Stage, str]] = {}
    for stage, group in staged.items():
        for item in group.items:
            for key in (f"id {item.id}", f"content {_content(item)}"):
                if key in seen and seen[key][0] != stage:
                    other, other_id = seen[key]
                    raise ConfigurationError(
                        f"task {name!r}: item {item.id!r} of the {stage} set is also in the {other} set (as "
                        f"{other_id!r}); what is selected on cannot be reported on. Remove it from one of them"
                    )
                seen[key] = (stage, item.id)


def _content(item: Item) -> str:
    return canonical_json({key: value for key, value in item.data.items() if key != "id"})
