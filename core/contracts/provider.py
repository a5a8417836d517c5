"""Contract `heterosis.providers`: brings a checkpoint from elsewhere into a local folder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, TypeAlias

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and the whole (0 if unknown), in bytes."""


class Provider(ABC):
    """Resolves references of the form `<scheme>:<rest>`; `name` is the scheme."""

    name: ClassVar[str]

    @abstractmethod
    def fetch(self, reference: str, cache: Path, progress: Progress) -> Path:
        """A local file or folder for what follows the scheme, fetched once into `cache` and checked.

        Raises:
            CheckpointError: it cannot be had; the message says why and what to try.
        """

    def is_pinned(self, reference: str) -> bool:
        """Whether the reference can only ever mean one content."""
        return True

    def pinned(self, reference: str, cache: Path) -> str:
        """The reference with what it meant when it was fetched into `cache`; as it is if that cannot be known.

        The network is not asked.
        """
        return reference
