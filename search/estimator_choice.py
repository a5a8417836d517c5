"""Which estimator a study would use now: what it has learned from is put together again from recorded answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..core.contracts.estimator import Matrix
from ..core.fitness_spec import AUTO
from ..core.study_spec import StudySpec
from ..fitness.learner import Learner
from ..fitness.response_matrix import ResponseMatrix
from .aims import aims_of
from .search_items import SearchItems


@dataclass(frozen=True)
class Choice:
    """An estimator, and why it was chosen: a sentence each, none where the study names it."""

    name: str
    reasons: tuple[str, ...] = ()


def choices(
    spec: StudySpec, items: SearchItems, sources: Sequence[str], elites: Sequence[str], tasks: Sequence[str]
) -> tuple[dict[str, int], dict[str, Choice]]:
    """By task, how many models' responses were imported, and which estimator would be used now.

    Args:
        sources, elites: ids of the models that have answered every item of these tasks.

    Raises:
        ConfigurationError: a file of references cannot be used.
    """
    assert spec.fitness is not None
    pool = {task: items.pool[task] for task in tasks}
    imported = imported_responses(spec, pool)
    counts = {task: len(responses) for task, responses in imported.items()}
    if spec.fitness.estimator != AUTO or not pool:
        return counts, {task: Choice(spec.fitness.estimator) for task in pool}
    learner = Learner(spec.fitness, pool, aims_of(spec, pool), imported, spec.seed)
    for candidate_id in sources:
        learner.add_source(items.answers[candidate_id])
    for candidate_id in elites:
        learner.add(items.answers[candidate_id])
    fitted = learner.panel.estimators
    return counts, {task: Choice(getattr(fitted[task], "choice", AUTO), _reasons(fitted[task])) for task in pool}


def imported_responses(spec: StudySpec, items: Mapping[str, Sequence[str]]) -> dict[str, Matrix]:
    """By task, other models' responses to its items, shape (models, items), from the files that the study names.

    Raises:
        ConfigurationError: a file cannot be read, or has no responses to some item.
    """
    files = spec.fitness.references if spec.fitness else {}
    return {
        task: ResponseMatrix.read(spec.folder / path).aligned(items[task]).values
        for task, path in files.items()
        if task in items
    }


def _reasons(estimator: object) -> tuple[str, ...]:
    return tuple(getattr(estimator, "reasons", ()))
