"""Conditions by layers and by kind of module, said as mergekit says them: by parts of tensors' names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .errors import ConfigurationError
from .layout import layer_count, place_of, stack_of
from .settings import Rule, Setting, depth_of, value_for


def without_conditions(setting: Setting, parameter: str, names: Sequence[str], stacked: bool) -> Setting:
    """The same values with filters only.

    Args:
        names: the tensors of the model to be built.
        stacked: whether it is made of slices.

    Raises:
        ConfigurationError: layers are named in a recipe of slices, or no filter tells the tensors apart.
    """
    if all(rule.layers is None and rule.module is None for rule in setting):
        return setting
    if stacked and any(rule.layers is not None for rule in setting):
        raise ConfigurationError(
            f"{parameter}: mergekit knows no values by `layers`, and filters by name would count the layers that the "
            "slices' sources have; give the slices values of their own instead"
        )
    found: list[Rule] = []
    for rule in setting:
        if rule.layers is None and rule.module is None:
            found.append(rule)
            continue
        for part in _parts(rule, names, parameter, stacked):
            if rule.layers is None:
                found.append(Rule(rule.value, filter=part))
                continue
            name = next(name for name in names if part in name)
            place = place_of(name)
            layers = layer_count(other for other in names if stack_of(other) == stack_of(name))
            value = value_for((rule,), name, place, depth_of(place.layer, layers))
            assert value is not None
            found.append(Rule(value, filter=part))
    return tuple(found)


def _parts(rule: Rule, names: Sequence[str], parameter: str, stacked: bool) -> list[str]:
    """Parts of names that, together, only the tensors that meet the rule's conditions have."""
    wanted = [name for name in names if rule.matches(name, place_of(name))]
    for cut in (_by_module, _by_tail) if stacked else (_by_module, _by_tail, _whole):
        parts = list(dict.fromkeys(cut(name, rule) for name in wanted))
        if _matched(parts, names) == set(wanted):
            return parts
    raise ConfigurationError(
        f"{parameter}: mergekit would need filters that tell {', '.join(wanted[:3])} from others with such names"
    )


def _matched(parts: Iterable[str], names: Sequence[str]) -> set[str]:
    return {name for part in parts for name in names if part in name}


def _split(name: str) -> tuple[str, str]:
    """What a layer's tensor has in common with its layer's others (`model.layers.3.`), and the rest."""
    stack = stack_of(name)
    number, _, rest = name[len(stack) :].partition(".")
    return f"{stack}{number}.", rest


def _by_module(name: str, rule: Rule) -> str:
    if place_of(name).layer is None:
        return name
    layer, rest = _split(name)
    if rule.layers is not None and rule.module is None:
        return layer
    module = f"{rest.partition('.')[0]}."
    return f".{module}" if rule.layers is None else layer + module


def _by_tail(name: str, rule: Rule) -> str:
    if place_of(name).layer is None or rule.layers is not None:
        return name
    return f".{_split(name)[1]}"


def _whole(name: str, _rule: Rule) -> str:
    return name
