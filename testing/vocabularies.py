"""Tiny checkpoints whose vocabularies differ: tokens added, tokens under other numbers, more rows than tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer

from ..core.quiet import no_progress_bars
from .tiny import tiny_model, tiny_tokenizer


def write_tiny_with_tokens(
    directory: Path,
    family: str = "llama",
    seed: int = 0,
    added: Sequence[str] = (),
    swapped: Sequence[tuple[str, str]] = (),
    spare_rows: int = 0,
    dtype: torch.dtype = torch.float32,
    **overrides: Any,
) -> Path:
    """Writes a random tiny model with a vocabulary of its own.

    Args:
        added: tokens after the usual ones; those in angle brackets are special.
        swapped: pairs of tokens that have each other's number.
        spare_rows: rows of the embeddings that no token has.
        overrides: fields of the family's configuration class.
    """
    tokenizer = tiny_tokenizer()
    if swapped:
        tokenizer._tokenizer = _swapped(tokenizer.backend_tokenizer, dict(swapped))
    for token in added:
        tokenizer.add_tokens([AddedToken(token, special=token.startswith("<"), normalized=False)])
    size = len(tokenizer) + spare_rows
    model = tiny_model(family, seed, vocab_size=size, **overrides)
    model.to(dtype)  # type: ignore[arg-type]  # transformers' annotation lacks the dtype overload
    with no_progress_bars():
        model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def _swapped(tokenizer: Tokenizer, pairs: Mapping[str, str]) -> Tokenizer:
    content = json.loads(tokenizer.to_str())
    vocabulary = content["model"]["vocab"]
    for one, other in pairs.items():
        vocabulary[one], vocabulary[other] = vocabulary[other], vocabulary[one]
    return Tokenizer.from_str(json.dumps(content))
