"""Evaluates candidates with an evaluator: whatever goes wrong with one of them is its own failure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from ..core.errors import CheckpointError, ConfigurationError, EvaluationError, MaterialiseError, StorageError
from ..core.recipe import Recipe
from ..core.stage import Stage
from ..fitness.device_memory import is_out_of_memory
from ..fitness.evaluator import Evaluation, Evaluator, ItemIds
from ..storage import ItemSet, Responses
from .known import Scores
from .outcome import Failure, Outcome

TOGETHER = 8
"""How many evaluations in a row may be computed together."""

Company: TypeAlias = Mapping[int, Evaluation]
"""By place in a group, what came of those that were computed together."""

_FAILURES = {MaterialiseError: "weights", EvaluationError: "scores"}


def evaluate(
    evaluator: Evaluator,
    recipe: Recipe,
    stage: Stage,
    items: ItemIds | None,
    scores: Scores | None = None,
    in_company: Evaluation | None = None,
) -> Outcome | Failure:
    """Evaluates a candidate.

    Args:
        items: by task, the ids of those to ask; None: all of the stage's, and then it is measured too.
        scores: its responses to these items, if they are known.
        in_company: what came of it in company, if it was computed there.

    Raises:
        CheckpointError, ConfigurationError, StorageError: what concerns all candidates.
    """
    try:
        found = in_company
        if scores is not None:
            found = evaluator.evaluate_known(recipe, stage, scores, items)
        if found is None:
            found = evaluator.evaluate(recipe, stage, items)
        responses = tuple(
            Responses(name, ItemSet.of(group.task.rule, group.items), found.scores[name])
            for name, group in evaluator.asked(stage, items).items()
        )
        return Outcome(responses, found.measured, found.seconds, found.peak_bytes, found.engine)
    except (CheckpointError, ConfigurationError, StorageError):
        raise
    except Exception as error:  # a plugin may fail in any way; the study goes on
        kind = next((word for kind, word in _FAILURES.items() if isinstance(error, kind)), "plugin")
        kind = "memory" if is_out_of_memory(error) else kind
        return Failure(kind, str(error) if kind != "plugin" else repr(error))


def evaluate_together(evaluator: Evaluator, recipes: Sequence[Recipe], stage: Stage, items: ItemIds | None) -> Company:
    """What came of those that could be computed together; the rest is to be evaluated alone."""
    if not goes_together(stage) or len(recipes) < 2:
        return {}
    found = evaluator.evaluate_together(recipes, stage, items)
    return {place: evaluation for place, evaluation in enumerate(found) if evaluation is not None}


def goes_together(stage: Stage) -> bool:
    """Whether candidates gain by company: later stages have many items for few of them."""
    return stage == "search"
