"""From a reference (a path, or `scheme:...`) to an open checkpoint."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from platformdirs import user_cache_path

from .. import registry
from ..contracts.provider import Progress
from ..errors import CheckpointError
from . import adapter
from .adapter import AdapterCheckpoint
from .base import Checkpoint
from .gguf import convert_gguf
from .references import HUB_NAME, models_of
from .safetensors import SafetensorsCheckpoint


def quiet(_what: str, _done: int, _whole: int) -> None:
    """Progress that nobody looks at."""


def cache_folder() -> Path:
    """Where fetched and converted checkpoints are kept; HETEROSIS_CACHE overrides the system's user cache."""
    return Path(os.environ.get("HETEROSIS_CACHE") or user_cache_path("heterosis"))


def resolve(reference: str, relative_to: Path, progress: Progress = quiet) -> Path:
    """A local path for a reference; alternatives are separated by ` | ` and tried from left to right.

    Raises:
        CheckpointError: none of the alternatives can be had; the message says why for each.
    """
    failures = []
    for alternative in (part.strip() for part in reference.split(" | ")):
        try:
            return _resolve_one(alternative, relative_to, progress)
        except CheckpointError as error:
            failures.append(f"{alternative}: {error}" if " | " in reference else str(error))
    raise CheckpointError("\n  ".join(failures))


def _resolve_one(reference: str, relative_to: Path, progress: Progress) -> Path:
    scheme, colon, rest = reference.partition(":")
    if colon and scheme in registry.names("providers"):
        return Path(registry.load("providers", scheme)().fetch(rest, cache_folder(), progress))
    path = (relative_to / Path(reference).expanduser()).resolve()
    if path.exists():
        return path
    schemes = ", ".join(f"{name}:..." for name in registry.names("providers"))
    nowhere = f"there is no checkpoint at {path}; a reference is a path or one of {schemes}"
    if not HUB_NAME.fullmatch(reference) or path.parent.exists():
        raise CheckpointError(nowhere)
    try:
        return _resolve_one(f"hub:{reference}", relative_to, progress)
    except CheckpointError as error:
        raise CheckpointError(f"{nowhere} ({error})") from error


def open_checkpoint(
    reference: str, relative_to: Path | None = None, base: Checkpoint | None = None, progress: Progress = quiet
) -> Checkpoint:
    """Opens a safetensors folder, a GGUF file, or a LoRA adapter of `base`; no weight is read yet.

    Args:
        reference: a path (relative ones start at `relative_to`, default the current folder), `hub:owner/name@revision`
            or another installed provider's; alternatives are separated by ` | `. As in mergekit, `owner/name` is looked
            for on the hub if there is no such folder, and `model+adapter` is an adapter of that model.
        base: what an adapter is an adapter of, if its reference does not say.

    Raises:
        CheckpointError: it cannot be had, is damaged, or is an adapter without a base.
    """
    model, *lora = models_of(reference, relative_to)
    if lora:
        under = base if base is not None and base.reference == model else None
        foundation = under or open_checkpoint(model, relative_to, None, progress)
        return AdapterCheckpoint(resolve(lora[0], relative_to or Path(), progress), foundation, reference)
    path = resolve(reference, relative_to or Path(), progress)
    if path.is_file():
        return SafetensorsCheckpoint(convert_gguf(path, cache_folder(), progress), reference)
    if (path / adapter.CONFIG).is_file():
        if base is None:
            raise CheckpointError(f"{reference} is a LoRA adapter; name the base it was trained on as `base`")
        return AdapterCheckpoint(path, base, reference)
    return SafetensorsCheckpoint(path, reference)


class SourceSet(Mapping[str, Checkpoint]):
    """The open checkpoints of a study, by reference; adapters are opened on the base."""

    def __init__(
        self, base: str | None, others: Iterable[str], relative_to: Path | None = None, progress: Progress = quiet
    ) -> None:
        self._open: dict[str, Checkpoint] = {}
        foundation = None
        if base is not None:
            foundation = self._open[base] = open_checkpoint(base, relative_to, None, progress)
        for reference in others:
            if reference not in self._open:
                self._open[reference] = open_checkpoint(reference, relative_to, foundation, progress)

    def include(self, key: str, checkpoint: Checkpoint) -> None:
        """Adds what is open already."""
        self._open[key] = checkpoint

    def __getitem__(self, reference: str) -> Checkpoint:
        return self._open[reference]

    def __iter__(self) -> Iterator[str]:
        return iter(self._open)

    def __len__(self) -> int:
        return len(self._open)
