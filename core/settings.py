"""Settings: a parameter's value, perhaps different by layers, by kind of module or by tensor name."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

from .errors import ConfigurationError, did_you_mean
from .layout import MODULES, Place
from .parsing import check_keys

Scalar: TypeAlias = float | int | bool
_KEYS = ("layers", "module", "filter", "value")


@dataclass(frozen=True)
class Rule:
    """A value for the tensors that meet every condition given.

    Attributes:
        value: a scalar, or a gradient: numbers spread evenly over the layers and interpolated, first to last.
        layers: first layer and the one after the last, counted from 0; tensors outside the layers never match.
        module: `attention`, `mlp` or `other` (embeddings and norms).
        filter: a part of the tensor's name (mergekit's condition; `*` is met by all).
    """

    value: Scalar | tuple[Scalar, ...]
    layers: tuple[int, int] | None = None
    module: str | None = None
    filter: str | None = None

    def matches(self, name: str, place: Place) -> bool:
        """Whether the tensor called `name`, at `place`, meets every condition."""
        if self.layers is not None and (place.layer is None or not self.layers[0] <= place.layer < self.layers[1]):
            return False
        if self.module is not None and self.module != place.module:
            return False
        return self.filter is None or self.filter == "*" or self.filter in name


Setting: TypeAlias = tuple[Rule, ...]


def value_for(setting: Setting, name: str, place: Place, t: float) -> Scalar | None:
    """The first matching rule's value for a tensor, or None if no rule matches.

    Args:
        t: in [0, 1], how far along the gradients the tensor is.
    """
    for rule in setting:
        if rule.matches(name, place):
            if not isinstance(rule.value, tuple):
                return rule.value
            return _interpolate(rule.value, t)
    return None


def depth_of(layer: int | None, layers: int) -> float:
    """How far along the gradients a layer is, as in mergekit: 0 at the first and outside the layers, 1 at the last.

    >>> depth_of(1, 5)
    0.25
    """
    return 0.0 if layer is None else layer / (layers - 1) if layers > 1 else 1.0


def _interpolate(gradient: Sequence[Scalar], t: float) -> Scalar:
    position = t * (len(gradient) - 1)
    low = int(position)
    high = min(low + 1, len(gradient) - 1)
    share = position - low
    if any(isinstance(value, bool) for value in gradient):
        return gradient[int(position)]
    return (1 - share) * gradient[low] + share * gradient[high]


def parse_setting(content: Any, where: str) -> Setting:
    """Reads a scalar, a gradient, a rule, or a list of rules.

    Raises:
        ConfigurationError: something else, an unknown key, or a range upside down; `where` says where.
    """
    if isinstance(content, dict):
        return (_parse_rule(content, where),)
    if isinstance(content, list) and content and all(isinstance(entry, dict) for entry in content):
        return tuple(_parse_rule(entry, where) for entry in content)
    return (Rule(_parse_value(content, where)),)


def _parse_rule(content: Mapping[str, Any], where: str) -> Rule:
    check_keys(content, _KEYS, where)
    if "value" not in content:
        raise ConfigurationError(f"{where}: a rule needs a `value`: {dict(content)}")
    layers = content.get("layers")
    if layers is not None:
        if not (isinstance(layers, list) and len(layers) == 2 and all(type(layer) is int for layer in layers)):
            raise ConfigurationError(f"{where}: `layers` must be two whole numbers, not {layers!r}")
        if not 0 <= layers[0] < layers[1]:
            raise ConfigurationError(f"{where}: the layers {layers} are upside down or empty")
    module = content.get("module")
    if module is not None and module not in MODULES:
        raise ConfigurationError(f"{where}: unknown module {module!r}. {did_you_mean(str(module), MODULES)}")
    name_filter = content.get("filter")
    return Rule(
        _parse_value(content["value"], where),
        (layers[0], layers[1]) if layers else None,
        module,
        None if name_filter is None else str(name_filter),
    )


def _parse_value(content: Any, where: str) -> Scalar | tuple[Scalar, ...]:
    if isinstance(content, list) and content:
        return tuple(parse_scalar(entry, where) for entry in content)
    return parse_scalar(content, where)


def parse_scalar(content: Any, where: str) -> Scalar:
    """Reads a finite number, true or false. Raises ConfigurationError if it is something else."""
    if isinstance(content, str):  # YAML 1.1 reads 1e-3 as text
        with suppress(ValueError):
            content = float(content)
    if not isinstance(content, bool | int | float):
        raise ConfigurationError(f"{where}: expected a number, true or false, not {content!r}")
    if not abs(content) <= sys.float_info.max:
        raise ConfigurationError(f"{where}: the value must be finite, not {content}")
    return content


def dump_setting(setting: Setting) -> Any:
    """What `parse_setting` reads back to an equal setting."""
    if len(setting) == 1 and setting[0] == Rule(setting[0].value):
        return _dump_value(setting[0])
    return [_dump_rule(rule) for rule in setting]


def _dump_rule(rule: Rule) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if rule.layers is not None:
        content["layers"] = list(rule.layers)
    if rule.module is not None:
        content["module"] = rule.module
    if rule.filter is not None:
        content["filter"] = rule.filter
    return {**content, "value": _dump_value(rule)}


def _dump_value(rule: Rule) -> Scalar | list[Scalar]:
    return list(rule.value) if isinstance(rule.value, tuple) else rule.value
