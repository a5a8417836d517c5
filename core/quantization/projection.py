"""Re-projection: a recipe's levels as another target can hold them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from .. import registry
from ..checkpoints.base import Checkpoint, TensorInfo
from ..contracts.target import QuantizingExporter
from ..errors import ConfigurationError
from .groups import Group, groups_of
from .level import DEFAULT_QUANTIZER, UNQUANTIZED, Level
from .target import NO_TARGET, Target, stored_bytes

if TYPE_CHECKING:
    from ..plan import Plan
    from ..recipe import Recipe


class Replacement(NamedTuple):
    """A level that took the place of another.

    Attributes:
        groups: how many groups of weights it took it in.
    """

    old: str
    new: str
    groups: int

    def __str__(self) -> str:
        return f"{self.old} as {self.new} ({self.groups} group{'' if self.groups == 1 else 's'})"


def exporter_for(recipe: Recipe) -> str:
    """The exporter that a recipe aims at: its target, or plain safetensors."""
    aims = recipe.quantize is not None and recipe.quantize.target != NO_TARGET
    return recipe.quantize.target if recipe.quantize is not None and aims else "safetensors"


def plan_for(recipe: Recipe, sources: Mapping[str, Checkpoint], exporter: str) -> tuple[Plan, tuple[Replacement, ...]]:
    """The plan of a recipe for an exporter, and the levels that it cannot hold and that were replaced.

    Each is replaced by the one of the exporter's formats that is nearest in bits per weight and not larger (or else
    the smallest), quantised by the same method where that can do it. Kinds that the exporter wants alike in all layers
    get the smallest level of theirs; of the exporter's modes, the one that most weights would have is that of all. An
    exporter that quantises nothing gets the plan as it is, and writes what codes stand for.

    Raises:
        PluginError: there is no such exporter.
        ConfigurationError: it cannot hold the model, whatever its levels.
    """
    from ..plan import plan

    plugin = registry.load("exporters", exporter)()
    if not isinstance(plugin, QuantizingExporter):
        return plan(recipe, sources), ()
    target = Target(exporter, plugin)
    plain = plan(replace(recipe, quantize=recipe.quantize.without_levels if recipe.quantize else None), sources)
    target.check_source(plain.config)
    if recipe.quantize is None:
        return plain, ()
    infos = {tensor.name: tensor.info for tensor in plain.tensors}
    groups = groups_of(infos)
    layers = 1 + max((group.layer for group in groups if group.layer is not None), default=-1)
    levels: dict[str, list[str]] = {}
    replaced: dict[tuple[str, str], int] = {}
    wanted = {group: recipe.quantize.level_of(group, layers) for group in groups}
    of_groups = {group: [infos[name] for name in names] for group, names in groups.items()}
    nearest = {group: _nearest(target, wanted[group], group, of_groups[group], None) for group in groups}
    if (mode := _commonest_mode(target, nearest, of_groups)) is not None:
        nearest = {group: _nearest(target, wanted[group], group, of_groups[group], mode) for group in groups}
    for group, found in nearest.items():
        if group.kind in target.alike:
            found = _smallest(
                [one for other, one in nearest.items() if other.kind == group.kind], infos[groups[group][0]]
            )
        labels = levels.setdefault(group.kind, [UNQUANTIZED] * (1 if group.layer is None else layers))
        labels[group.layer or 0] = _label(found)
        if found != wanted[group]:
            pair = _label(wanted[group]), _label(found)
            replaced[pair] = replaced.get(pair, 0) + 1
    kinds = {kind: tuple(labels[:1]) if len(set(labels)) == 1 else tuple(labels) for kind, labels in levels.items()}
    quantize = replace(recipe.quantize, levels=kinds, target=exporter)
    found_plan = plan(replace(recipe, quantize=quantize), sources)
    return found_plan, tuple(Replacement(*pair, count) for pair, count in replaced.items())


def _commonest_mode(
    target: Target, levels: Mapping[Group, Level | None], of_groups: Mapping[Group, Sequence[TensorInfo]]
) -> str | None:
    """The mode that most weights have; None if none has one."""
    weights: dict[str, int] = {}
    for group, level in levels.items():
        if (mode := target.mode(level)) is not None:
            weights[mode] = weights.get(mode, 0) + sum(info.elements for info in of_groups[group])
    return max(weights, key=lambda mode: weights[mode], default=None)


def _nearest(
    target: Target, level: Level | None, group: Group, infos: list[TensorInfo], mode: str | None
) -> Level | None:
    """The level itself, if it is legal; else the legal one nearest to it. One with a mode must have this one, if given.

    Raises:
        ConfigurationError: none is.
    """

    def legal(one: Level | None) -> bool:
        if mode is not None and target.mode(one) not in (None, mode):
            return False
        return all(target.refuses(one, group, info) is None for info in infos)

    if legal(level):
        return level
    assert target.exporter is not None
    shape = infos[0].shape
    bits = 8.0 * infos[0].dtype.itemsize if level is None else level.format.bits(shape)
    choices = [one for label in target.exporter.formats if legal(one := _same_method(level, label))]
    if legal(None):
        choices.append(None)
    if not choices:
        raise ConfigurationError(f"{target.name} has no format for {group} (shape {list(shape)}); choose another")

    def distance(one: Level | None) -> tuple[bool, float]:
        size = 8.0 * infos[0].dtype.itemsize if one is None else one.format.bits(shape)
        return size > bits, abs(size - bits)

    return min(choices, key=distance)


def _smallest(levels: Sequence[Level | None], info: TensorInfo) -> Level | None:
    return min(levels, key=lambda level: stored_bytes(info, level))


def _same_method(level: Level | None, label: str) -> Level | None:
    """A format with the level's quantiser, or with plain rounding if that cannot do it; a whole level as it is."""
    if ":" in label:
        return Level.parse(label)
    for quantizer in (level.quantizer if level else DEFAULT_QUANTIZER, DEFAULT_QUANTIZER):
        try:
            return Level.parse(f"{quantizer}:{label}")
        except ConfigurationError:
            continue
    return Level.parse(label)


def _label(level: Level | None) -> str:
    return UNQUANTIZED if level is None else level.label
