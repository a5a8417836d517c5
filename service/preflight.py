"""Finds out before a search, and before anything is recorded, what would end it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..core.errors import ConfigurationError, StorageError
from .opening import command_line, missing_file, opened

if TYPE_CHECKING:
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
    from ..fitness.estimators.files import make
    from ..fitness.evaluator import Evaluator
    from ..search.aims import aims_of
    from ..search.estimator_choice import imported_responses

    evaluator = Evaluator(spec, device)
    if spec.fitness is not None:
        make(spec.fitness.estimator, spec.fitness.options)
        searched = {task: group.items for task, group in evaluator.items["search"].items() if task in spec.shares}
        aims_of(spec, searched)
        imported_responses(spec, {task: [item.id for item in items] for task, items in searched.items()})
    open_checkpoints()
    optimizer = registry.load("optimizers", spec.optimizer)
    optimizer(spec.space.genes, spec.directions, 0, **spec.optimizer_options)
    return evaluator
