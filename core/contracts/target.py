"""What an exporter that writes quantised weights adds to the contract `heterosis.exporters`."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from ..checkpoints.base import TensorInfo
from .exporter import Exporter

if TYPE_CHECKING:
    from ..plan import Plan
    from ..quantization.groups import Group
    from ..quantization.level import Level


class QuantizingExporter(Exporter):
    """An exporter that genomes can aim at: it says what is legal and how large it gets, before a weight is read.

    Attributes:
        exact: whether what `load` gives computes the very logits of the simulated candidate; else only a perplexity
            within 0.1% of its own.
        formats: labels of formats that it holds, from which levels are chosen that take the place of others; labels of
            levels where only one quantiser will do.
        alike: kinds of groups that must have one level in all layers, such as `experts`.
    """

    exact: ClassVar[bool] = False
    alike: ClassVar[frozenset[str]] = frozenset()
    formats: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def refuses(self, level: Level | None, group: Group, info: TensorInfo) -> str | None:
        """Why a weight of this group, shape and dtype cannot have this level here, for people; None if it can.

        Args:
            level: None means as it was merged.
        """

    def mode(self, level: Level | None) -> str | None:
        """What a model has one of: levels of two modes cannot be in one model, for one that says it loads it by a
        single setting. None: this level goes with any."""
        return None

    def refuses_source(self, config: dict[str, object]) -> str | None:
        """Why a model with this config.json cannot be written at all; None if it can."""
        return None

    def missing(self) -> str | None:
        """What must be installed before `load` can work, and how, for people; None if nothing is missing."""
        return None

    @abstractmethod
    def nbytes(self, plan: Plan) -> int:
        """The exact size of the weight files that `write` will write, headers and all, without reading a weight."""

    @abstractmethod
    def most_bytes(self, name: str, info: TensorInfo, level: Level | None) -> int:
        """No less than what this tensor adds to the files: payload, its header entry, padding."""

    @abstractmethod
    def fixed_bytes(self, plan: Plan) -> int:
        """No less than what the files have besides the tensors: `fixed_bytes + sum of most_bytes >= nbytes`."""

    @abstractmethod
    def load(self, directory: Path) -> object:
        """What `write` wrote, as a transformers model in evaluation mode, with the weights that its engine has."""
