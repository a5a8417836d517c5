"""The plugins that a study names, and the distributions that bring them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from . import registry
from .checkpoints.references import parts_of

if TYPE_CHECKING:
    from .study_spec import StudySpec

OWN = "heterosis"


def named_plugins(spec: StudySpec) -> list[tuple[str, str]]:
    """Kind and name of every plugin that a study cannot do without, sorted.

    Raises:
        PluginError: a merge method is not installed.
    """
    return sorted(set(_named(spec)))


def distributions_of(spec: StudySpec) -> dict[str, str]:
    """Version of each distribution that brings a plugin of the study, and of Heterosis itself.

    Raises:
        PluginError: a plugin is not installed, or does not import.
    """
    found: dict[str, str] = dict(registry.distributions("executors", "local"))
    for kind, name in named_plugins(spec):
        found |= registry.distributions(kind, name)
    return dict(sorted(found.items()))


def _named(spec: StudySpec) -> Iterator[tuple[str, str]]:
    space = spec.space
    for method in space.merge.methods:
        yield "merge_methods", method
        needs = registry.load("merge_methods", method).needs_statistics
        if needs is not None:
            yield "statistics", needs
    for task in spec.tasks.values():
        yield "tasks", task.type
    for objective in (*spec.objectives, *spec.watch):
        yield "objectives", objective.name
    if spec.fitness is not None:
        yield "estimators", spec.fitness.estimator
    yield "optimizers", spec.optimizer
    for reference in (space.base, *space.labelled.values()):
        for part in parts_of(reference, space.relative_to):
            if part.scheme is not None:
                yield "providers", part.scheme
