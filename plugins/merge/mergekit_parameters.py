"""mergekit's declarations of parameters and of numbers of inputs, said in the words of our contract."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin

from ...core.contracts import ParameterSpec
from ...core.errors import PluginError
from .task_vectors import DENSITY, WEIGHT

OF_THE_BASE = "base_"
"""Begins the name of the shared parameter that is the base's own value of one that every input has."""

_SEARCHED = {spec.name: spec.search for spec in (WEIGHT, DENSITY)}
"""mergekit does not say over which range a parameter is worth searching; these names mean the same everywhere."""

_READABLE = (float, int, bool)


def translated(spec: Any) -> tuple[ParameterSpec, ...]:
    """The parameters of mergekit's `MergeMethodSpec` that a recipe can give: numbers, true and false.

    Others (texts, optional numbers) keep mergekit's defaults.

    Raises:
        PluginError: one that a recipe cannot give has no default.
    """
    found: list[ParameterSpec] = []
    for theirs in spec.parameters:
        kind, low, high = _kind_and_limits(theirs.value_type)
        if kind not in _READABLE:
            if theirs.required:
                raise PluginError(
                    f"mergekit's {spec.name!r} needs a value of {theirs.name!r}, a {theirs.value_type}; "
                    "a recipe can give numbers, true and false"
                )
            continue
        default = None if theirs.required else theirs.default
        shared = theirs.scope.value == "shared"
        search = None if shared else _SEARCHED.get(theirs.name)
        found.append(ParameterSpec(theirs.name, "shared" if shared else "source", default, search, low, high))
        if theirs.scope.value == "input" and spec.contract.base.value == "required":
            found.append(ParameterSpec(OF_THE_BASE + theirs.name, "shared", default, None, low, high))
    return tuple(found)


def limits_of_count(contract: Any) -> tuple[int, int | None]:
    """How many sources there may be, the base not counted where there must be one."""
    base = int(contract.base.value == "required")
    least = max(1, contract.min_inputs - base, contract.min_non_base or 0)
    allowed = [most for most in (contract.max_non_base,) if most is not None]
    if contract.max_inputs is not None:
        allowed.append(contract.max_inputs - base)
    return least, min(allowed, default=None)


def _kind_and_limits(annotation: Any) -> tuple[Any, float, float]:
    """The type behind pydantic's constraints, and the range that they leave."""
    low, high = float("-inf"), float("inf")
    while get_origin(annotation) is Annotated:
        annotation, *constraints = get_args(annotation)
        for constraint in _flat(constraints):
            low = max([low, *(getattr(constraint, name) for name in ("ge", "gt") if hasattr(constraint, name))])
            high = min([high, *(getattr(constraint, name) for name in ("le", "lt") if hasattr(constraint, name))])
    return annotation, low, high


def _flat(constraints: list[Any]) -> Iterator[Any]:
    for constraint in constraints:
        yield from getattr(constraint, "metadata", [constraint])
