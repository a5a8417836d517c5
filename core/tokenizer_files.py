"""Tokenizers of checkpoints, read and joined with transformers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .checkpoints import Checkpoint
from .errors import CheckpointError
from .quiet import no_progress_bars

_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")


def load_tokenizer(checkpoint: Checkpoint) -> Any:
    """transformers' tokenizer of a checkpoint, or None if the checkpoint has none.

    Raises:
        CheckpointError: it does not load.
    """
    from transformers import AutoTokenizer

    if not any((checkpoint.directory / name).is_file() for name in _FILES):
        return None
    try:
        with no_progress_bars():
            return AutoTokenizer.from_pretrained(checkpoint.directory, local_files_only=True, trust_remote_code=False)
    except (ValueError, OSError, KeyError) as error:
        raise CheckpointError(f"the tokenizer of {checkpoint.reference} does not load: {error}") from error


def without_unused_tokens(tokenizer: Any, rows: int, reference: str) -> Any:
    """The tokenizer without tokens that the model has no embedding for.

    Raises:
        CheckpointError: it has such tokens and is not of a kind that they can be taken from.
    """
    unused = {token for token, number in tokenizer.get_vocab().items() if number >= rows}
    if not unused:
        return tokenizer
    content = json.loads(tokenizer.backend_tokenizer.to_str()) if tokenizer.is_fast else {}
    model = content.get("model", {})
    if model.get("type") != "BPE":
        raise CheckpointError(
            f"the tokenizer of {reference} has {len(unused)} tokens that its model has no embeddings for, and is not "
            "of the kind (BPE in tokenizer.json) that they can be taken from; name another source of the tokenizer"
        )
    from tokenizers import Tokenizer

    content["added_tokens"] = [entry for entry in content["added_tokens"] if entry["id"] < rows]
    model["vocab"] = {token: number for token, number in model["vocab"].items() if token not in unused}
    model["merges"] = [
        merge for merge in model["merges"] if unused.isdisjoint(merge.split(" ") if isinstance(merge, str) else merge)
    ]
    tokenizer._tokenizer = Tokenizer.from_str(json.dumps(content))
    return tokenizer


def union_tokenizer(base: Checkpoint, others: Mapping[str, tuple[Any, int]]) -> Any:
    """The base's tokenizer with all tokens that the others have: first plain ones, then added ones, in their order.

    Args:
        others: by reference, the base first: a tokenizer, and how many embeddings its model has.
    """
    rows = next(iter(others.values()))[1]
    tokenizer = without_unused_tokens(load_tokenizer(base), rows, base.reference)
    added: dict[str, Any] = {}
    plain: dict[str, None] = {}
    for other, count in others.values():
        for number, entry in sorted(other.added_tokens_decoder.items()):
            if number < count:
                added.setdefault(entry.content, entry)
        vocabulary = other.get_vocab()
        plain |= dict.fromkeys(sorted((token for token in vocabulary if vocabulary[token] < count), key=vocabulary.get))
    present = tokenizer.get_vocab()
    tokenizer.add_tokens([token for token in plain if token not in added and token not in present])
    tokenizer.add_tokens(list(added.values()))
    return tokenizer
