"""The part of a recipe that says how the merged weights are quantised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from .. import registry
from ..errors import ConfigurationError, did_you_mean
from ..parsing import check_keys, mapping_of, text_of, texts_of
from ..statistics import Given, parse_statistics
from .groups import Group
from .level import UNQUANTIZED, Level
from .rotation import KURTAIL, check_kind
from .target import NO_TARGET, target_of

Options: TypeAlias = Mapping[str, Mapping[str, float | int | bool | str]]
_KEYS = ("target", "levels", "calibration", "options", "rotation")


@dataclass(frozen=True)
class Quantization:
    """Levels by kind of group; what has none stays as it was merged.

    Attributes:
        levels: labels by kind (`qkv`, `down_proj`, `embedding`...): one for all layers, or one for each layer.
        target: what the model is to be exported to: an exporter, or `none`.
        calibration: texts that the inputs of layers are looked at on: one file for all models, or one for each.
        options: by quantiser, what differs from its defaults.
        rotation: that the hidden features are turned by before weights are quantised (see `Rotation`,
            `LearnedRotation`); None: none.
    """

    levels: Mapping[str, tuple[str, ...]]
    target: str = NO_TARGET
    calibration: Given = None
    options: Options = field(default_factory=dict)
    rotation: str | None = None

    @classmethod
    def from_dict(cls, content: Any, where: str) -> Quantization:
        """Reads what `to_dict` wrote.

        Raises:
            ConfigurationError: a key is missing or unknown, or a level cannot be used.
            PluginError: a quantiser is not installed.
        """
        content = mapping_of(content, where)
        check_keys(content, _KEYS, where)
        given = mapping_of(content.get("levels") or {}, f"{where}, levels")
        levels = {kind: tuple(texts_of(labels, f"{where}, levels, {kind}")) for kind, labels in given.items()}
        calibration = parse_statistics(content.get("calibration"), f"{where}, calibration")
        rotation = content.get("rotation")
        if rotation is not None:
            check_kind(rotation, calibration, where)
        if (not levels and rotation is None) or not all(levels.values()):
            raise ConfigurationError(f"{where}: `levels` must give at least one kind of weights a level")
        for label in {label for labels in levels.values() for label in labels}:
            Level.parse(label)
        target = text_of(content.get("target", NO_TARGET), f"{where}, target")
        target_of(target)
        return cls(levels, target, calibration, read_options(content.get("options", {}), where), rotation)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready content that `from_dict` reads back, without what is at its default."""
        levels = {kind: labels[0] if len(labels) == 1 else list(labels) for kind, labels in self.levels.items()}
        content: dict[str, Any] = {"target": self.target} if self.target != NO_TARGET else {}
        optional = {"calibration": self.calibration, "options": {k: dict(v) for k, v in self.options.items()}}
        optional["rotation"] = self.rotation
        return {**content, "levels": levels, **{key: value for key, value in optional.items() if value}}

    def level_of(self, group: Group, layers: int) -> Level | None:
        """The level of a group of a model with so many layers; None if it stays as it was merged.

        Raises:
            ConfigurationError: the recipe gives levels for another number of layers.
        """
        labels = self.levels.get(group.kind, (UNQUANTIZED,))
        if len(labels) == 1:
            return Level.parse(labels[0])
        if group.layer is None or len(labels) != layers:
            raise ConfigurationError(
                f"quantize: {len(labels)} levels for {group.kind!r}, of which the model has "
                f"{'one' if group.layer is None else layers}; give one level, or one for each"
            )
        return Level.parse(labels[group.layer])

    @property
    def without_levels(self) -> Quantization | None:
        """The rotation alone, for no target, with what it is learned on; None if there is none."""
        calibration = self.calibration if self.rotation == KURTAIL else None
        return None if self.rotation is None else Quantization({}, calibration=calibration, rotation=self.rotation)

    @property
    def uses_calibration(self) -> bool:
        """Whether some quantiser looks at what calibration tells: any does, where there is some."""
        return self.calibration is not None

    def options_of(self, quantizer: str) -> dict[str, float | int | bool | str]:
        """A value for each option of a quantiser."""
        return {**registry.load("quantizers", quantizer).options, **self.options.get(quantizer, {})}


def read_options(content: Any, where: str) -> Options:
    """Options by quantiser. Raises ConfigurationError for one that there is not, or a value of another kind."""
    found: dict[str, Mapping[str, float | int | bool | str]] = {}
    for quantizer, given in mapping_of(content, f"{where}, options").items():
        valid = registry.load("quantizers", quantizer).options
        for name, value in mapping_of(given, f"{where}, options, {quantizer}").items():
            if name not in valid:
                raise ConfigurationError(f"{where}: {quantizer} has no option {name!r}. {did_you_mean(name, valid)}")
            number = isinstance(value, int | float) and not isinstance(value, bool)
            expected = type(valid[name])
            if not (isinstance(value, expected) or (expected is float and number)):
                raise ConfigurationError(
                    f"{where}: the option {name!r} of {quantizer} is like {valid[name]!r}, not {value!r}"
                )
        found[quantizer] = dict(given)
    return found
