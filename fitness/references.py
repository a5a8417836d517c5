"""What candidates are compared with: reference models, asked before the candidate takes their place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..core.errors import ConfigurationError, did_you_mean
from ..core.executors import LiveExecutor
from ..core.plan import plan
from ..core.recipe import Recipe
from ..core.space import Space
from .device_memory import with_less_memory
from .first_request import FirstRequest
from .item_sets import StagedItems
from .transformers_model import TransformersModel

MERGE = "merge"


def reference_recipe(reference: str, recipe: Recipe, space: Space) -> Recipe:
    """How the model is built that a candidate is compared with.

    Args:
        reference: see `Task.reference`.
        recipe: the candidate's.

    Raises:
        ConfigurationError: the space has no reference of that label.
    """
    if reference == MERGE:
        return replace(recipe, quantize=None)
    known = space.references()
    if reference not in known:
        raise ConfigurationError(f"unknown reference {reference!r}. {did_you_mean(reference, [MERGE, *known])}")
    return known[reference]


def prepare_references(
    recipe: Recipe, asked: Mapping[str, StagedItems], space: Space, live: LiveExecutor, model: TransformersModel
) -> None:
    """Sees to it that the model can compare a candidate with what the tasks ask for.

    A reference that has answered the same texts, and is not forgotten since, is not built again: the merge of a search
    for levels alone is built once. Otherwise it is the resident model afterwards.

    Args:
        recipe: the candidate's.

    Raises:
        MaterialiseError: a reference's weights are not finite.
        EvaluationError: a text is empty or too long.
    """
    identities: dict[str, str] = {}
    compared = 0
    for group in asked.values():
        if group.task.reference is None or (first := FirstRequest(group).compared) is None:
            continue
        texts, reference, top = first
        recipe_of_reference = reference_recipe(reference, recipe, space)
        identity = identities[reference] = recipe_of_reference.hash
        compared += 1
        if not model.knows(identity, texts, top):
            live.materialise(plan(recipe_of_reference, space.checkpoints))
            with_less_memory(lambda of=(identity, texts, top): model.remember(*of), model.halve_batch)  # type: ignore[misc]
    model.references = identities
    model.forget(compared)
