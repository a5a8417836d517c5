"""What is unusual about a study's checkpoints: dtypes, output embeddings and vocabularies that differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import torch

from .checkpoints import Checkpoint
from .embeddings import is_output_embedding
from .plan import Plan
from .space import Space


def remarks(space: Space, planned: Plan) -> Iterator[str]:
    """Sentences about the checkpoints of `space` and what becomes of their differences in the `planned` model."""
    labelled = {"the base": space.base, **space.labelled}
    checkpoints = {label: space.checkpoints[reference] for label, reference in labelled.items()}
    yield from _dtypes(checkpoints, space.out_dtype)
    yield from _quantised(checkpoints)
    yield from _output_embeddings(checkpoints)
    for change in planned.vocabulary.changes if planned.vocabulary else ():
        if change.added or change.dropped or change.moved:
            yield (
                f"{change.reference} gets another vocabulary: {len(change.added)} tokens more, {len(change.dropped)} "
                f"less, {change.moved} of its own under another number"
            )


def _dtypes(checkpoints: dict[str, Checkpoint], written: str) -> Iterator[str]:
    stored = {label: _main_dtype(checkpoint) for label, checkpoint in checkpoints.items()}
    if len(set(stored.values())) > 1:
        listing = ", ".join(f"{label} in {dtype}" for label, dtype in stored.items())
        yield f"stored are {listing}; merged in float32 and written in {written}"


def _quantised(checkpoints: dict[str, Checkpoint]) -> Iterator[str]:
    for label, checkpoint in checkpoints.items():
        if not all(checkpoint.is_mapped(name) for name in checkpoint.tensors):
            yield f"{label} has float8 weights, rounded to two or three bits before they are merged"
        elif checkpoint.reference.endswith(".gguf"):
            yield f"{label} is a GGUF file: what was quantised in it is merged as it was rounded"


def _output_embeddings(checkpoints: dict[str, Checkpoint]) -> Iterator[str]:
    own = {label for label, checkpoint in checkpoints.items() if any(map(is_output_embedding, checkpoint.tensors))}
    if own and own != checkpoints.keys():
        tied = [label for label in checkpoints if label not in own]
        yield (
            f"{' and '.join(tied)} {'takes' if len(tied) == 1 else 'take'} the input's embedding for output, "
            f"{' and '.join(label for label in checkpoints if label in own)} not: merged with the latter, a model has "
            "an output embedding of its own and is larger"
        )


def _main_dtype(checkpoint: Checkpoint) -> str:
    """The dtype of most of its weights."""
    counts: Counter[torch.dtype] = Counter()
    for name, info in checkpoint.tensors.items():
        counts[checkpoint.stored_dtype(name)] += info.elements
    return str(counts.most_common(1)[0][0]).removeprefix("torch.")
