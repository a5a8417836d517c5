"""Contract `heterosis.statistics`: what a checkpoint does with texts, gathered once and kept in a file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from ..calibration import DEFAULT_LENGTH, DEFAULT_TOKENS
from .provider import Progress

if TYPE_CHECKING:
    from ..checkpoints import Checkpoint


class Statistics(ABC):
    """One kind of statistics, `name`: a tensor for each weight that has some, under the weight's stored name.

    A merge method that works with them declares `needs_statistics = name`.
    """

    name: ClassVar[str]

    @abstractmethod
    def gather(
        self,
        checkpoint: Checkpoint,
        texts: Path,
        progress: Progress,
        tokens: int = DEFAULT_TOKENS,
        length: int = DEFAULT_LENGTH,
        device: str | None = None,
    ) -> Path:
        """Runs the checkpoint over texts, unless the same has been done before.

        Args:
            texts: a file of texts.
            progress: called with what is being done, how much of it is done, and the whole, in bytes of text.
            tokens: how many are read at most, from the file's beginning.
            length: longer texts are cut into pieces of so many tokens.
            device: where the model runs; default: the first CUDA device, or else the CPU.

        Returns:
            A safetensors file (see core/checkpoints/statistics.py) in the cache; it is whole.

        Raises:
            ConfigurationError: the texts cannot be read, or there are none.
            CheckpointError: the model cannot be loaded.
            StorageError: the file cannot be written.
        """
