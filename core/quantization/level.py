"""A level: how a group of weights is quantised, as a text such as `gptq:int4-g128`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from .. import registry
from ..contracts.format import Format
from ..contracts.quantizer import Quantizer
from ..errors import ConfigurationError, PluginError

DEFAULT_QUANTIZER = "rtn"
UNQUANTIZED = "none"


@dataclass(frozen=True)
class Level:
    """A quantiser and a format. `Level.parse("none")` is None: the weight stays as it was merged."""

    quantizer: str
    format: Format

    @property
    def label(self) -> str:
        """`QUANTIZER:FORMAT`, without the quantiser where it is plain rounding."""
        return self.format.label if self.quantizer == DEFAULT_QUANTIZER else f"{self.quantizer}:{self.format.label}"

    @property
    def plugin(self) -> Quantizer:
        """The quantiser itself."""
        plugin: Quantizer = registry.load("quantizers", self.quantizer)()
        return plugin

    @staticmethod
    @cache
    def parse(label: str) -> Level | None:
        """Reads a label.

        Raises:
            PluginError: the quantiser is not installed.
            ConfigurationError: there is no such format, or the quantiser cannot do it.
        """
        if label == UNQUANTIZED:
            return None
        quantizer, _, format_label = label.rpartition(":")
        level = Level(quantizer or DEFAULT_QUANTIZER, format_of(format_label))
        misfit = level.plugin.misfit(level.format)
        if misfit is not None:
            raise ConfigurationError(f"the level {label!r}: {misfit}")
        return level


@cache
def format_of(label: str) -> Format:
    """The format with this label.

    Raises:
        ConfigurationError: no installed family knows it (with how formats are written).
    """
    patterns = []
    for name in registry.names("formats"):
        try:
            family: type[Format] = registry.load("formats", name)
        except PluginError as error:  # it may be another's that is meant
            patterns.append(f"({error})")
            continue
        found = family.parse(label)
        if found is not None:
            return found
        patterns.append(family.pattern)
    raise ConfigurationError(f"there is no format {label!r}. Formats are written like: {'; '.join(patterns)}")
