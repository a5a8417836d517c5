"""Statistics files: what was gathered of a checkpoint on texts, as safetensors that are read like one more checkpoint.

The header's metadata says what they are: `kind`; `identity`, a hash of all that the statistics follow from;
`checkpoint`, the fingerprint of the model that was run; and `stored_as`, JSON from a weight's name to the name of its
tensor in the file, for weights that share one. A tensor that is called as another with `|maxima` after it holds the
largest magnitudes of what the other is the second moments of.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path

import torch

from .. import registry
from ..contracts.provider import Progress
from ..errors import CheckpointError, ConfigurationError
from ..statistics import Need
from .base import Checkpoint
from .open import SourceSet, quiet
from .safetensors import SafetensorsFile

SUFFIX = ".safetensors"


class StatisticsFile(Checkpoint):
    """An open statistics file; `tensors` and `read` go by the weights' names.

    Attributes:
        kind: name of the plugin that gathered them.
        gathered_on: fingerprint of the checkpoint that was run.

    Raises:
        CheckpointError: the file is missing or damaged, or holds no statistics.
    """

    def __init__(self, path: Path, reference: str | None = None) -> None:
        self.reference = reference or str(path)
        self.directory = path.parent
        self._file = SafetensorsFile(path)
        metadata = self._file.metadata
        try:
            self.kind, self.gathered_on, self._identity = (metadata[key] for key in ("kind", "checkpoint", "identity"))
            self._stored_as: dict[str, str] = json.loads(metadata["stored_as"])
            self.tensors = {name: self._file.tensors[stored] for name, stored in self._stored_as.items()}
        except (KeyError, ValueError, AttributeError) as error:
            raise CheckpointError(
                f"{path} holds no statistics ({error!r}); `heterosis statistics` writes files that do"
            ) from error

    def read(self, name: str) -> torch.Tensor:
        """The statistics of the weight called `name`, float32, memory-mapped."""
        if name not in self._stored_as:
            raise CheckpointError(f"{self.reference} has no statistics of {name!r}")
        return self._file.read(self._stored_as[name])

    def maxima(self, name: str) -> torch.Tensor | None:
        """The largest |x| of each input feature of the layer with the weight `name`, float32; None if not gathered."""
        stored = maxima_name(self._stored_as.get(name, name))
        return self._file.read(stored) if stored in self._file.tensors else None

    def weight_files(self) -> tuple[Path, ...]:
        """The one file."""
        return (self._file.path,)

    @cached_property
    def fingerprint(self) -> str:
        """Of what the statistics follow from: gathered on another device they are the same, but for rounding."""
        return self._identity


def maxima_name(stored: str) -> str:
    """What the maxima are called in a file, beside second moments that are called `stored`."""
    return f"{stored}|maxima"


def metadata_of(kind: str, identity: str, checkpoint: str, stored_as: Mapping[str, str]) -> dict[str, str]:
    """The metadata that `StatisticsFile` reads; see above."""
    return {"kind": kind, "identity": identity, "checkpoint": checkpoint, "stored_as": json.dumps(stored_as)}


def include_statistics(
    sources: SourceSet, needs: Iterable[Need], relative_to: Path | None = None, progress: Progress = quiet
) -> None:
    """Opens the statistics of some of the sources, gathering what is missing, and puts them among the sources.

    Raises as `open_statistics` does.
    """
    for need in needs:
        if need.key not in sources:
            opened = open_statistics(need.kind, sources[need.model], need.file, relative_to, progress)
            sources.include(need.key, opened)


def open_statistics(
    kind: str, checkpoint: Checkpoint, reference: str, relative_to: Path | None = None, progress: Progress = quiet
) -> StatisticsFile:
    """The statistics that a recipe or a study means: gathered on a file of texts, now or earlier, or a file of them.

    Args:
        checkpoint: what they are the statistics of.
        reference: path of a file of texts, or (`.safetensors`) of what `heterosis statistics` wrote.

    Raises:
        ConfigurationError: the statistics are of another kind or another checkpoint, or the texts cannot be used.
        CheckpointError: the file holds no statistics, or the model cannot be loaded.
        PluginError: nothing installed gathers this kind.
    """
    path = ((relative_to or Path()) / Path(reference).expanduser()).resolve()
    if path.suffix != SUFFIX:
        path = registry.load("statistics", kind)().gather(checkpoint, path, progress)
    opened = StatisticsFile(path, reference)
    if opened.kind != kind:
        raise ConfigurationError(f"{reference} holds statistics of the kind {opened.kind!r}; needed is {kind!r}")
    if opened.gathered_on != checkpoint.fingerprint:
        raise ConfigurationError(
            f"{reference} was gathered on another checkpoint than {checkpoint.reference} (or it has changed since); "
            f"gather again: heterosis statistics {checkpoint.reference} TEXTS --kind {kind} --out {reference}"
        )
    return opened
