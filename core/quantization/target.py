"""Targets: what a model is to be exported to, and thereby which levels are legal and what they take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from .. import registry
from ..checkpoints.base import TensorInfo
from ..contracts.target import QuantizingExporter
from ..errors import ConfigurationError
from .groups import Group
from .level import Level

if TYPE_CHECKING:
    from ..plan import Plan

NO_TARGET = "none"


class Target:
    """A target by name: an exporter, or `none`: everything that can be simulated, sizes without headers."""

    def __init__(self, name: str, exporter: QuantizingExporter | None) -> None:
        self.name = name
        self.exporter = exporter

    @property
    def alike(self) -> frozenset[str]:
        """Kinds of groups that must have one level in all layers."""
        return frozenset() if self.exporter is None else self.exporter.alike

    def refuses(self, level: Level | None, group: Group, info: TensorInfo) -> str | None:
        """Why a weight cannot have this level; None if it can. See `QuantizingExporter.refuses`."""
        misfit = None if level is None else level.format.misfit(info.shape)
        if misfit is None and self.exporter is not None:
            return self.exporter.refuses(level, group, info)
        return misfit

    def mode(self, level: Level | None) -> str | None:
        """What a model has one of. See `QuantizingExporter.mode`."""
        return None if self.exporter is None else self.exporter.mode(level)

    def check_modes(self, levels: Iterable[Level | None]) -> None:
        """Raises ConfigurationError if no model can have all of these levels."""
        modes: dict[str, str] = {}
        for level in levels:
            if level is not None and (mode := self.mode(level)) is not None:
                modes.setdefault(mode, level.label)
        if len(modes) > 1:
            raise ConfigurationError(
                f"quantize: the target {self.name!r} holds levels of one mode in a model, not of {_listed(modes)} "
                f"({_listed(modes.values())}); keep those of one, or choose another target"
            )

    def check_source(self, config: Mapping[str, object]) -> None:
        """Raises ConfigurationError if the target cannot express models with this config.json."""
        reason = None if self.exporter is None else self.exporter.refuses_source(dict(config))
        if reason is not None:
            raise ConfigurationError(
                f"the target {self.name!r} cannot hold this model: {reason}; choose another target"
            )

    def nbytes(self, plan: Plan) -> int:
        """Exact bytes of the exported weight files (of the tensors alone, for `none`)."""
        if self.exporter is not None:
            return self.exporter.nbytes(plan)
        return sum(stored_bytes(tensor.info, tensor.level) for tensor in plan.tensors)

    def most_bytes(self, name: str, info: TensorInfo, level: Level | None) -> int:
        """No less than what a tensor adds to the files."""
        return stored_bytes(info, level) if self.exporter is None else self.exporter.most_bytes(name, info, level)

    def fixed_bytes(self, plan: Plan) -> int:
        """No less than what the files have besides the tensors."""
        return 0 if self.exporter is None else self.exporter.fixed_bytes(plan)


def _listed(words: Iterable[str]) -> str:
    return " and ".join(sorted(words))


def stored_bytes(info: TensorInfo, level: Level | None) -> int:
    """Bytes of a tensor alone."""
    return info.nbytes if level is None else level.format.nbytes(info.shape)


def target_of(name: str) -> Target:
    """The target called `name`.

    Raises:
        PluginError: there is no such exporter.
        ConfigurationError: it writes no quantised weights.
    """
    if name == NO_TARGET:
        return Target(name, None)
    exporter = registry.load("exporters", name)()
    if not isinstance(exporter, QuantizingExporter):
        raise ConfigurationError(f"the exporter {name!r} writes no quantised weights; choose another `target`, or none")
    return Target(name, exporter)
