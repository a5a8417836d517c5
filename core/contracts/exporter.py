"""Contract `heterosis.exporters`: writes a planned model for the engine that will run it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from ..plan import Plan


class Exporter(ABC):
    """Writes a model directory that loads in the engine the exporter is for."""

    name: ClassVar[str]

    @abstractmethod
    def write(self, plan: Plan, directory: Path) -> None:
        """Writes the model under a temporary name beside `directory` and renames it when whole.

        Raises:
            ConfigurationError: `directory` exists and is not empty.
            StorageError: the disk is full or refuses; nothing is left under `directory`.
        """
