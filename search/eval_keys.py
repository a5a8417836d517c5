"""Keys of evaluations: equal work, in whatever study, has an equal key, and is then done once."""

from __future__ import annotations

from functools import cache

from ..core.genome import content_hash
from ..core.recipe import Recipe
from ..core.stage import Stage
from ..core.statistics import all_needs
from ..fitness.evaluator import Evaluator, ItemIds
from ..storage import ItemSet

EVALUATOR_VERSION = 2
"""Raise it when scores of the same model on the same items may change."""


class EvaluationKeys:
    """Hashes what a response depends on: the recipe with its checkpoints' contents, the items and rules, the device.

    Args:
        device: where it is computed; default: the evaluator's.
    """

    def __init__(self, evaluator: Evaluator, device: str | None = None) -> None:
        self._evaluator = evaluator
        self._device = device or str(evaluator.device)
        self._item_sets = cache(self._hash_items)

    def key(self, recipe: Recipe, stage: Stage, ids: ItemIds | None = None) -> str:
        """SHA-256, as 64 hexadecimal digits.

        Args:
            ids: by task, those of the items that are asked; default: all of the stage's.
        """
        checkpoints = self._evaluator.spec.space.checkpoints
        references = [*recipe.references, *(need.key for need in all_needs(recipe))]
        # the merge itself follows from the recipe; any other model that the candidate is compared with does not
        compared = {
            name: {"recipe": other.to_dict(), "checkpoints": [checkpoints[one].fingerprint for one in other.references]}
            for name, other in self._evaluator.compared(recipe, stage, ids).items()
        }
        return content_hash(
            {
                **({"compared": compared} if compared else {}),
                "version": EVALUATOR_VERSION,
                "recipe": recipe.to_dict(),
                "checkpoints": {reference: checkpoints[reference].fingerprint for reference in references},
                "items": self._item_sets(stage) if ids is None else self._hash_items(stage, ids),
                "device": self._device,
            }
        )

    def _hash_items(self, stage: Stage, ids: ItemIds | None = None) -> dict[str, str]:
        groups = self._evaluator.asked(stage, ids)
        return {name: ItemSet.of(group.task.rule, group.items).id for name, group in groups.items()}
