"""Whether checkpoints can be merged: architecture, tensor shapes and vocabulary, before any weight is read."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import CheckpointError
from ..layout import place_of
from .base import Checkpoint, listed
from .token_numbers import differing_token

_TIED = ("lm_head.weight", "output.weight", "embed_out.weight")


def check_compatible(base: Checkpoint, sources: Sequence[Checkpoint]) -> None:
    """Raises CheckpointError unless every source has the base's architecture, tensors and vocabulary.

    The message names every difference found, tensor by tensor (the first few of each kind).
    """
    refuse([problem for source in sources for problem in _differences(base, source)])


def check_architectures(base: Checkpoint, sources: Sequence[Checkpoint]) -> None:
    """Raises CheckpointError unless every source is a model of the base's class."""
    refuse([problem for source in sources for problem in _another_class(base, source)])


def refuse(problems: Sequence[str]) -> None:
    """Raises CheckpointError with all problems, if there are any."""
    if problems:
        raise CheckpointError("these checkpoints cannot be merged:\n  " + "\n  ".join(problems))


def _differences(base: Checkpoint, source: Checkpoint) -> list[str]:
    if source.directory == base.directory:
        return []  # an adapter of this base has been checked against it tensor by tensor
    problems = _another_class(base, source)
    sizes = [checkpoint.config.get("vocab_size") for checkpoint in (base, source)]
    if sizes[0] != sizes[1]:
        problems.append(f"{source.reference} has a vocabulary of {sizes[1]}, {base.reference} one of {sizes[0]}")
    elif (token := differing_token(base.directory, source.directory)) is not None:
        problems.append(f"{token!r} is another token in {source.reference} than in {base.reference}")
    names = needed_tensors(base), needed_tensors(source)
    if missing := sorted(name for name in names[0] - source.tensors.keys() if not _ties(source, name)):
        problems.append(f"{source.reference} lacks {listed(missing)}")
    if extra := sorted(name for name in names[1] - base.tensors.keys() if not _ties(base, name)):
        problems.append(f"{source.reference} has {listed(extra)}, which {base.reference} does not")
    shapes = [
        f"{name} is {list(source.tensors[name].shape)}, not {list(base.tensors[name].shape)}"
        for name in sorted(base.tensors.keys() & source.tensors.keys())
        if source.tensors[name].shape != base.tensors[name].shape
    ]
    if shapes:
        problems.append(f"{source.reference}: {listed(shapes)}")
    return problems


def _another_class(base: Checkpoint, source: Checkpoint) -> list[str]:
    ours, theirs = (checkpoint.config.get("architectures") for checkpoint in (base, source))
    return [f"{source.reference} is a {_words(theirs)}, {base.reference} is a {_words(ours)}"] if ours != theirs else []


def needed_tensors(checkpoint: Checkpoint) -> set[str]:
    """The tensors that a model is made of; an output embedding stored beside the one it is tied to is none of them."""
    names = set(checkpoint.tensors)
    if not checkpoint.config.get("tie_word_embeddings"):
        return names
    outside = {
        info.shape for name, info in checkpoint.tensors.items() if name not in _TIED and place_of(name).layer is None
    }
    return {name for name in names if name not in _TIED or checkpoint.tensors[name].shape not in outside}


def _ties(checkpoint: Checkpoint, name: str) -> bool:
    """Whether it has no output embedding of its own, so that the input's stands for it (transformers' default)."""
    return name in _TIED and bool(checkpoint.config.get("tie_word_embeddings", True))


def _words(architectures: list[str] | None) -> str:
    return " / ".join(architectures) if architectures else "model of unnamed architecture"
