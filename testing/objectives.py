"""Conformance check for contract `heterosis.objectives`: run it on your own objective as we run it on ours.

>>> from heterosis.testing.objectives import check_objective
>>> check_objective("bytes")
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch

from ..core import registry
from ..core.contracts import Measured, Objective
from ..core.costs import Costs
from ..core.errors import HeterosisError
from ..core.estimate import Estimate
from ..core.recipe import Recipe

_COSTS = Costs(bytes=369_984, parameters=92_496)
_ENGINE = {
    "prefill_ms": Estimate(81.2, 1.5, 5),
    "decode_speed": Estimate(31.4, 0.6, 5),
    "memory": Estimate(412_000_000.0, math.nan, 1),
}
_RECIPES = (
    "merge_method: passthrough\nmodels: [one]\n",
    "merge_method: linear\nmodels: [one, two]\nparameters: {weight: 0.5}\n",
    """
merge_method: ties
base_model: base
models:
- {model: one, parameters: {weight: [0.1, 0.9], density: 0.5}}
- {model: two, parameters: {weight: [{module: mlp, value: -0.3}, {layers: [0, 2], value: 1.2}, {value: 0.2}]}}
parameters: {density: 0.7, normalize: false}
dtype: float32
seed: 3
""",
)


@dataclass(frozen=True)
class Subject:
    """An objective that is checked, and what the tasks that it is shown have given."""

    objective: type[Objective]
    scores: tuple[float, ...]

    @property
    def estimates(self) -> dict[str, Estimate]:
        """An estimate for each score, by task name."""
        return {f"task {number}": Estimate(score, 0.1, 20) for number, score in enumerate(self.scores)}

    def measure(self, recipe: Recipe, estimates: Mapping[str, Estimate]) -> Estimate:
        """Measures with a fresh instance, which can change no mapping. Raises AssertionError if it raises anything."""
        try:
            return self.objective().measure(self._shown(recipe, estimates))
        except Exception as error:
            raise AssertionError(f"measuring {recipe} with {dict(estimates)} raised {error!r}") from error

    def _shown(self, recipe: Recipe, estimates: Mapping[str, Estimate]) -> Measured:
        engine = MappingProxyType(_ENGINE if self.objective.uses_engine else {})
        return Measured(recipe, _COSTS, MappingProxyType(dict(estimates)), engine, _tensors)


def _tensors() -> Iterator[torch.Tensor]:
    for dtype in (torch.bfloat16, torch.float32):
        yield torch.linspace(-1.0, 1.0, 96).reshape(8, 12).to(dtype)


def check_objective(objective: str | type[Objective], scores: Sequence[float] = (0.25, 0.75)) -> None:
    """Checks that an objective keeps its contract.

    Args:
        objective: a class, or the name of an installed plugin.
        scores: what tasks have given, where the objective uses tasks; numbers that it can take.

    Raises:
        AssertionError: it does not; the message says what it did.
        PluginError: no plugin of that name can be loaded.
    """
    if isinstance(objective, str):
        loaded: type[Objective] = registry.load("objectives", objective)
        named = f"the entry point is called {objective!r}, but the class's `name` is {loaded.name!r}"
        assert loaded.name == objective, named
        objective = loaded
    subject = Subject(objective, tuple(scores))
    for check in CHECKS:
        check(subject)


def check_identity(subject: Subject) -> None:
    """It is a subclass of the contract, with a name and a unit."""
    objective = subject.objective
    assert isinstance(objective, type), f"{objective!r} is not a class"
    assert issubclass(objective, Objective), f"{objective} is not a subclass of Objective"
    lacking = sorted(getattr(objective, "__abstractmethods__", ()))
    assert not lacking, f"{objective} lacks {', '.join(lacking)}"
    assert isinstance(getattr(objective, "name", None), str), f"{objective} has no name"
    assert objective.name, f"{objective} has an empty name"
    assert isinstance(objective.unit, str), f"the unit {objective.unit!r} is no text"
    for word in ("uses_tasks", "uses_engine"):
        value = getattr(objective, word)
        assert isinstance(value, bool), f"`{word}` is {value!r}, neither true nor false"


def check_estimate(subject: Subject) -> None:
    """A finite number with a standard error, for every recipe."""
    for recipe in _recipes():
        found = subject.measure(recipe, subject.estimates)
        assert isinstance(found, Estimate), f"measure gave a {type(found).__name__}, not an Estimate"
        assert math.isfinite(found.mean), f"the value {found.mean} is not finite"
        in_range = not subject.objective.share or 0.0 <= found.mean <= 1.0
        assert in_range, f"the value {found.mean} is no share; set `share` to false"
        assert not found.standard_error < 0, f"the standard error {found.standard_error} is negative"
        assert not math.isinf(found.standard_error), "the standard error is infinite; it is NaN where it is not known"
        assert found.items >= 1, f"the estimate counts {found.items} items; an exact value counts one"


def check_determinism(subject: Subject) -> None:
    """The same again gives the same, and nothing that was handed over is changed."""
    for recipe in _recipes():
        before = recipe.to_yaml()
        once, again = (subject.measure(recipe, subject.estimates) for _ in range(2))
        assert repr(once) == repr(again), f"the same candidate was measured as {once} and as {again}"
        assert recipe.to_yaml() == before, "the recipe was changed"


def check_tasks(subject: Subject) -> None:
    """Tasks count, in any order, exactly if `uses_tasks`; an objective that uses them says so where there is none."""
    recipe = _recipes()[1]
    found = subject.measure(recipe, subject.estimates)
    turned = subject.measure(recipe, dict(reversed(subject.estimates.items())))
    assert math.isclose(found.mean, turned.mean), f"the order of the tasks changed {found.mean} to {turned.mean}"
    if not subject.objective.uses_tasks:
        without = subject.measure(recipe, {})
        assert repr(without) == repr(found), f"`uses_tasks` is false, yet tasks changed {without} to {found}"
        return
    one = subject.measure(recipe, {"task": Estimate(subject.scores[0], 0.1, 20)})
    other = subject.measure(recipe, {"task": Estimate(subject.scores[1], 0.1, 20)})
    assert one.mean != other.mean, f"`uses_tasks` is true, yet two scores of a task gave {one.mean} both"
    try:
        subject.objective().measure(Measured(recipe, _COSTS, {}))
    except HeterosisError:
        return
    except Exception as error:
        raise AssertionError(f"without a task it raised {error!r} instead of a ConfigurationError") from error
    raise AssertionError("`uses_tasks` is true, yet it gave a value without a task; a ConfigurationError was due")


CHECKS: tuple[Callable[[Subject], None], ...] = (check_identity, check_estimate, check_determinism, check_tasks)


def _recipes() -> list[Recipe]:
    return [Recipe.from_yaml(text) for text in _RECIPES]
