"""What a study is: space, tasks, objectives, optimizer, seed and budget; read from a YAML file or given in Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import registry, strict_yaml
from .contracts import Direction
from .errors import ConfigurationError, did_you_mean
from .fitness_spec import FULL, FitnessSpec
from .parsing import check_keys, mapping_of, text_of, texts_of, whole_number_of
from .screen_spec import SCREEN, ScreenSpec
from .space import Space
from .stage import STAGES, Stage

DIRECTIONS: tuple[Direction, ...] = ("maximize", "minimize")
DEFAULT_CANDIDATES = 40
DEFAULT_FINALISTS = 5
_KEYS = (
    "study",
    "seed",
    "candidates",
    "finalists",
    "space",
    "tasks",
    "objectives",
    "watch",
    "fitness",
    "screen",
    "optimizer",
    "steady_state",
    "starts",
)
_TASK_KEYS = ("type", "file", "items", *STAGES)


@dataclass(frozen=True)
class TaskSpec:
    """A task's items, either as one file that is dealt into disjoint sets, or as a file for each stage.

    Attributes:
        type: name of a task plugin.
        file: one file for all stages; `items` of it are for the search, half of the rest each for validation and test.
            None without `files` if the options name the items; they are dealt as a file's.
        files: a file for each stage that has one; a task without search items is only reported, never selected on.
        items: how many items the search asks (the first so many of a search file); None for all of a search file.
        options: passed to the plugin.
    """

    type: str
    file: str | None = None
    files: Mapping[Stage, str] = field(default_factory=dict)
    items: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, content: Any, where: str) -> TaskSpec:
        """Reads a task of a study file. Raises ConfigurationError if it cannot be used."""
        content = mapping_of(content, where)
        kind = text_of(content.get("type", "multiple_choice"), f"{where}, type")
        from_file = registry.load("tasks", kind).from_file
        files: dict[Stage, str] = {
            stage: text_of(content[stage], f"{where}, {stage}") for stage in STAGES if stage in content
        }
        file = content.get("file")
        if (file and files) or not (file or files or not from_file):
            raise ConfigurationError(f"{where}: give either one `file`, or a file each for {', '.join(STAGES)}")
        items = content.get("items")
        if items is not None:
            items = whole_number_of(items, f"{where}, items", at_least=1)
        elif not files:
            raise ConfigurationError(f"{where}: without a file for each stage, say how many `items` the search may ask")
        options = {key: value for key, value in content.items() if key not in _TASK_KEYS}
        return cls(kind, file, files, items, options)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready content that `from_dict` reads back."""
        files = {"file": self.file} if self.file else {str(stage): file for stage, file in self.files.items()}
        return {"type": self.type, **files, **({"items": self.items} if self.items else {}), **self.options}


@dataclass(frozen=True)
class ObjectiveSpec:
    """A number to maximise or minimise: an objective plugin, perhaps of some tasks.

    Attributes:
        label: what tables and figures call it; unique in a study.
    """

    name: str
    direction: Direction
    tasks: tuple[str, ...] = ()
    label: str = ""

    def __post_init__(self) -> None:
        if not self.label:
            of = f" {self.tasks[0]}" if len(self.tasks) == 1 else ""
            object.__setattr__(self, "label", self.name + of)

    @classmethod
    def from_dict(cls, content: Any, tasks: Mapping[str, TaskSpec], where: str) -> ObjectiveSpec:
        """Reads an objective of a study file. Raises ConfigurationError if it cannot be used."""
        content = mapping_of(content, where)
        check_keys(content, ("maximize", "minimize", "tasks", "label"), where)
        directions: list[Direction] = [key for key in DIRECTIONS if key in content]
        if len(directions) != 1:
            raise ConfigurationError(f"{where}: say either `maximize: NAME` or `minimize: NAME`")
        name = text_of(content[directions[0]], f"{where}, {directions[0]}")
        plugin = registry.load("objectives", name)
        chosen = tuple(texts_of(content.get("tasks", list(tasks) if plugin.uses_tasks else []), f"{where}, tasks"))
        for task in chosen:
            if task not in tasks:
                raise ConfigurationError(f"{where}: unknown task {task!r}. {did_you_mean(task, tasks)}")
            if tasks[task].files and "search" not in tasks[task].files:
                raise ConfigurationError(
                    f"{where}: task {task!r} has no `search` items, so nothing can be selected on it"
                )
        if plugin.uses_tasks != bool(chosen):
            raise ConfigurationError(f"{where}: {name} needs " + ("`tasks`" if plugin.uses_tasks else "no `tasks`"))
        return cls(name, directions[0], chosen, text_of(content.get("label", ""), f"{where}, label"))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready content that `from_dict` reads back."""
        tasks = {"tasks": list(self.tasks)} if self.tasks else {}
        return {self.direction: self.name, **tasks, "label": self.label}


@dataclass(frozen=True)
class StudySpec:
    """A study, before it is run.

    Attributes:
        objectives: what the optimizer learns; the first one picks finalists and winner.
        watch: measured as well, and shown in the front, but not learned from.
        fitness: how scores on the search items are estimated; None if every item is asked.
        screen: few items that candidates are asked first, so that only the best are asked all; None: there are none.
        optimizer: name of a plugin; `optimizer_options` are passed to it.
        steady_state: whether the optimizer is fed as results arrive, so that no worker waits for another, rather than
            with whole generations, whose course does not depend on who is faster; None: not said.
        starts: whether a search of bit-widths begins with uniform levels, allocations by sensitivity and hand mixes.
        candidates: how many proposals are evaluated on the search items.
        finalists: how many of the best are evaluated on the validation items to pick the winner.
        folder: where relative paths start.
    """

    name: str
    space: Space
    tasks: Mapping[str, TaskSpec]
    objectives: tuple[ObjectiveSpec, ...]
    watch: tuple[ObjectiveSpec, ...] = ()
    fitness: FitnessSpec | None = None
    screen: ScreenSpec | None = None
    optimizer: str = "cmaes"
    optimizer_options: Mapping[str, Any] = field(default_factory=dict)
    steady_state: bool | None = None
    starts: bool = True
    seed: int = 0
    candidates: int = DEFAULT_CANDIDATES
    finalists: int = DEFAULT_FINALISTS
    folder: Path = field(default_factory=Path)

    def __post_init__(self) -> None:
        if not self.objectives:
            raise ConfigurationError("the study has no objective; give at least one to maximize or minimize")
        labels = [*self.tasks, *(objective.label for objective in (*self.objectives, *self.watch))]
        labels += [SCREEN] if self.screen is not None else []
        for label in labels:
            if labels.count(label) > 1:
                raise ConfigurationError(
                    f"two tasks or objectives are called {label!r}; give one of them another `label`"
                )
        if self.steady_state and self.fitness is not None:
            raise ConfigurationError(
                "in steady state candidates arrive one by one, and with estimated fitness those of a generation race: "
                "say either `fitness: full` (--fitness full) or `steady_state: false` (--generations)"
            )
        if self.screen is not None:
            self._check_screen()
        registry.load("optimizers", self.optimizer)

    @classmethod
    def from_file(cls, path: Path) -> StudySpec:
        """Reads a study file; paths in it start at its folder. Raises ConfigurationError as `from_dict` does."""
        return cls.from_dict(strict_yaml.read(path), path.resolve().parent, str(path))

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], folder: Path, where: str = "study") -> StudySpec:
        """Reads what `to_dict` wrote, or a study file's content.

        Raises:
            ConfigurationError: a key is missing or unknown (with the nearest valid one), or a value cannot be used.
            PluginError: a plugin is not installed (with the nearest valid name).
        """
        check_keys(content, _KEYS, where)
        for key in ("study", "space", "tasks", "objectives"):
            if not content.get(key):
                raise ConfigurationError(f"{where}: `{key}` is missing")
        tasks = {
            str(name): TaskSpec.from_dict(task, f"{where}, task {name!r}")
            for name, task in mapping_of(content["tasks"], f"{where}, tasks").items()
        }
        optimizer = content.get("optimizer", "cmaes")
        searched = [name for name, task in tasks.items() if not task.files or "search" in task.files]
        options = dict(mapping_of(optimizer, f"{where}, optimizer")) if not isinstance(optimizer, str) else {}
        name = text_of(options.pop("name", None) if options else optimizer, f"{where}, optimizer, name")
        return cls(
            name=text_of(content["study"], f"{where}, study"),
            space=Space.from_dict(mapping_of(content["space"], f"{where}, space"), folder),
            tasks=tasks,
            objectives=_objectives(content["objectives"], tasks, f"{where}, objectives"),
            watch=_objectives(content.get("watch", []), tasks, f"{where}, watch"),
            fitness=FitnessSpec.from_dict(content.get("fitness", FULL), tasks, f"{where}, fitness"),
            screen=ScreenSpec.from_dict(content.get("screen"), searched, f"{where}, screen"),
            optimizer=name,
            optimizer_options=options,
            steady_state=_yes_or_no(content, "steady_state", where) if "steady_state" in content else None,
            starts=_yes_or_no(content, "starts", where) if "starts" in content else True,
            seed=whole_number_of(content.get("seed", 0), f"{where}, seed", at_least=0),
            candidates=whole_number_of(
                content.get("candidates", DEFAULT_CANDIDATES), f"{where}, candidates", at_least=1
            ),
            finalists=whole_number_of(content.get("finalists", DEFAULT_FINALISTS), f"{where}, finalists", at_least=1),
            folder=folder,
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready content that `from_dict` reads back."""
        return {
            "study": self.name,
            "seed": self.seed,
            "candidates": self.candidates,
            "finalists": self.finalists,
            "space": self.space.to_dict(),
            "tasks": {name: task.to_dict() for name, task in self.tasks.items()},
            "objectives": [objective.to_dict() for objective in self.objectives],
            "watch": [objective.to_dict() for objective in self.watch],
            **({"fitness": self.fitness.to_dict()} if self.fitness else {}),
            **({"screen": self.screen.to_dict()} if self.screen else {}),
            "optimizer": {"name": self.optimizer, **self.optimizer_options},
            **({} if self.steady_state is None else {"steady_state": self.steady_state}),
            **({} if self.starts else {"starts": False}),
        }

    def _check_screen(self) -> None:
        if self.fitness is not None:
            raise ConfigurationError(
                "with estimated fitness candidates race on few items already: leave out either `screen`, or `fitness` "
                "(--fitness full)"
            )
        if self.steady_state:
            raise ConfigurationError(
                "in steady state candidates arrive one by one, and with `screen` the best of a generation are chosen: "
                "leave out `screen`, or say `steady_state: false` (--generations)"
            )

    @property
    def directions(self) -> tuple[Direction, ...]:
        """Of each objective, in order."""
        return tuple(objective.direction for objective in self.objectives)

    @property
    def shares(self) -> frozenset[str]:
        """The names of tasks and labels of objectives whose figures are shares in [0, 1].

        Raises:
            PluginError: a plugin is not installed.
        """
        objectives = (*self.objectives, *self.watch)
        return frozenset(
            [name for name, task in self.tasks.items() if registry.load("tasks", task.type).share]
            + [objective.label for objective in objectives if registry.load("objectives", objective.name).share]
        )


def _objectives(content: Any, tasks: Mapping[str, TaskSpec], where: str) -> tuple[ObjectiveSpec, ...]:
    if not isinstance(content, list):
        raise ConfigurationError(f"{where} must be a list")
    return tuple(ObjectiveSpec.from_dict(entry, tasks, f"{where}, entry {n}") for n, entry in enumerate(content, 1))


def _yes_or_no(content: Mapping[str, Any], key: str, where: str) -> bool:
    value = content[key]
    if not isinstance(value, bool):
        raise ConfigurationError(f"{where}, {key}: say `true` or `false`, not {value!r}")
    return value
