"""`heterosis statistics`: gathers what RegMean and Fisher-weighted merging need to know of a checkpoint."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from ..core.calibration import DEFAULT_LENGTH, DEFAULT_TOKENS
from ..core.errors import ConfigurationError, StorageError
from ..core.whole_file import whole_file
from .console import console
from .fetching import telling
from .formats import size
from .options import Device


def statistics(
    model: Annotated[str, typer.Argument(help="The checkpoint: a path, or a reference like hub:OWNER/NAME.")],
    texts: Annotated[
        Path,
        typer.Argument(help="Texts like its training's: JSONL (`text`, or `prompt` and `answer`), or a text a line."),
    ],
    kind: Annotated[
        str, typer.Option(metavar="NAME", help="What to gather: `gram` (for regmean), `fisher` (for fisher).")
    ] = "gram",
    base: Annotated[str | None, typer.Option(metavar="REF", help="What it is a LoRA adapter of.")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a copy, ending in .safetensors, to keep or to share.")
    ] = None,
    tokens: Annotated[int, typer.Option(metavar="N", help="How many tokens to read at most.")] = DEFAULT_TOKENS,
    length: Annotated[int, typer.Option(metavar="N", help="Cut longer texts into pieces.")] = DEFAULT_LENGTH,
    device: Device = "auto",
) -> None:
    """Gather the statistics of a checkpoint that some merge methods need.

    Studies and recipes do this by themselves where their `statistics` names texts; use this command to choose how
    much is read, or on which device. The result is kept in the cache: the same checkpoint, texts and numbers are never
    run twice.

    `gram` takes memory and disk for 4 bytes x (inputs of a layer)² for every distinct input: 0.4 GB for SmolLM2-135M,
    22 GB for a Llama of 7B. `fisher` takes 4 bytes for every parameter, and a backward pass beside each forward pass.

    Examples:

        heterosis statistics experts/math math.jsonl --out math-gram.safetensors
        heterosis statistics experts/law law.txt --kind fisher --tokens 20000
        heterosis statistics lora/law law.txt --base hub:OWNER/NAME
    """
    if out is not None and (out.suffix != ".safetensors" or out.exists()):
        why = "exists already" if out.exists() else "does not end in .safetensors"
        raise ConfigurationError(f"--out {out} {why}; choose another name")
    from ..core import registry
    from ..core.checkpoints import SourceSet
    from .device import chosen_device

    gatherer = registry.load("statistics", kind)()
    screen = console()
    with telling(screen) as tell:
        checkpoint = SourceSet(base, [model], Path(), tell)[model]
        found = gatherer.gather(checkpoint, texts, tell, tokens, length, chosen_device(device))
    file = found if out is None else _copied(found, out)
    screen.print(f"{file}: {size(file.stat().st_size)}", soft_wrap=True)
    screen.print(f"In a recipe or a study's `merge`:  statistics: {{{model}: {file}}}", soft_wrap=True)


def _copied(file: Path, target: Path) -> Path:
    try:
        with whole_file(target) as partial:
            shutil.copyfile(file, partial)
    except OSError as error:
        raise StorageError(f"{target} cannot be written ({error.strerror}); {file} is whole") from error
    return target
