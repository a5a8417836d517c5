"""Finds out before a search, and before anything is recorded, what would end it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from ..core.errors import ConfigurationError, StorageError
from .opening import command_line, missing_file, opened

if TYPE_CHECKING:
    from ..core.contracts.estimator import Matrix
    from ..core.study_spec import StudySpec
    from ..fitness.evaluator import Evaluator


def check_storage(storage: str, name: str) -> None:
    """Whether a study of this name can be recorded.

    Raises:
        ConfigurationError: the URL cannot be used, or there is a study of this name.
        StorageError: the database cannot be opened, or its file could not be made.
    """
    file = missing_file(storage)
    if file is not None:
        if not os.access(file.resolve().parent, os.W_OK):
            raise StorageError(f"{file.resolve().parent} is no folder that may be written; choose another --storage")
        return
    with opened(storage) as store:
        if any(study.name == name for study in store.studies.all()):
            raise ConfigurationError(
                f"{store.database.where} has a study {name!r} already. Go on with it:\n"
                f"  {command_line('resume', name, storage)}\n"
                "or give this one another name with --name NAME"
            )


def check(spec: StudySpec, device: str, open_checkpoints: Callable[[], None]) -> Evaluator:
    """Whether a study's tasks, estimator, checkpoints and optimizer can be used; what is quick comes first.

    Returns:
        What knows the study's items.

    Raises:
        ConfigurationError, CheckpointError, OptimizerError, PluginError: see their messages.
    """
    from ..core import registry
    from ..fitness.evaluator import Evaluator
    from ..search.aims import aims_of
    from ..search.estimator_choice import imported_responses

    evaluator = Evaluator(spec, device)
    if spec.fitness is not None:
        searched = {task: group.items for task, group in evaluator.items["search"].items() if task in spec.shares}
        aims_of(spec, searched)
        imported = imported_responses(spec, {task: [item.id for item in items] for task, items in searched.items()})
        _check_references(spec, searched, imported)
    open_checkpoints()
    optimizer = registry.load("optimizers", spec.optimizer)(
        spec.space.genes, spec.directions, 0, **spec.optimizer_options
    )
    if spec.steady_state:
        optimizer.steady_state()
    return evaluator


def _check_references(spec: StudySpec, tasks: Iterable[str], imported: Mapping[str, Matrix]) -> None:
    """Whether the estimator can learn from the models that will have answered everything when candidates race."""
    from ..fitness.estimators.files import make

    assert spec.fitness is not None
    needed = make(spec.fitness.estimator, spec.fitness.options).least_references
    for task in tasks:
        others = sum(all(math.isfinite(response) for response in row) for row in imported.get(task, ()))
        known = len(spec.space.labelled) + others
        if known < needed:
            raise ConfigurationError(
                f"fitness: the estimator {spec.fitness.estimator!r} needs {needed} models that have answered every "
                f"item of {task!r}; there are {known} ({len(spec.space.labelled)} sources, {others} imported). Use "
                "`auto`, which starts without any, or name a file of responses in `references`"
            )
