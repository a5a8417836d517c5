"""Task-vector mass: how much of the sources' changes a recipe takes."""

from __future__ import annotations

from heterosis.core.contracts import Measured, Objective
from heterosis.core.estimate import Estimate
from heterosis.core.settings import Rule, Setting

TAKEN_WHOLE: Setting = (Rule(1.0),)


class TaskVectorMass(Objective):
    """The sum of the sources' |weight|. To be minimised, beside an accuracy: of two merges that score alike, the one
    that leans less on its sources is further from undoing what the base can do.

    A weight that differs by layer or module counts with the plain mean over its rules and gradients; a source without
    a weight counts 1. It is read off the recipe, so it is exact and costs nothing, but it says nothing of how long the
    task vectors themselves are.
    """

    name = "task_vector_mass"
    unit = "sum of |weight|"

    def measure(self, measured: Measured) -> Estimate:
        """The sum, >= 0; the base itself has no task vector and does not count."""
        recipe = measured.recipe
        everybodys = recipe.parameters.get("weight", TAKEN_WHOLE)
        models = [entry for entry in recipe.models if entry.model != recipe.base_model]
        mass = sum(_mean_magnitude(entry.parameters.get("weight", everybodys)) for entry in models)
        return Estimate(mass, 0.0, 1)


def _mean_magnitude(setting: Setting) -> float:
    by_rule = []
    for rule in setting:
        knots = rule.value if isinstance(rule.value, tuple) else (rule.value,)
        by_rule.append(sum(abs(knot) for knot in knots) / len(knots))
    return sum(by_rule) / len(by_rule)
