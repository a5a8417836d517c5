"""One vocabulary for checkpoints with different ones: its tokens, and the row that each checkpoint has for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from .checkpoints import Checkpoint
from .checkpoints.base import listed
from .embeddings import is_input_embedding
from .errors import CheckpointError
from .layout import place_of
from .tokenizer_files import load_tokenizer, union_tokenizer, without_unused_tokens
from .tokenizer_policy import BASE, UNION, TokenizerPolicy


@dataclass(frozen=True)
class VocabularyChange:
    """What becomes of one checkpoint's vocabulary.

    Attributes:
        rows: of its embeddings as stored.
        moved: how many of its tokens get another number.
        added: tokens that it lacks, whose embeddings come from elsewhere.
        dropped: its own tokens that the model to be built will not have.
    """

    reference: str
    rows: int
    moved: int
    added: tuple[str, ...]
    dropped: tuple[str, ...]

    def __str__(self) -> str:
        parts = [f"{self.rows} rows", f"{self.moved} numbered anew"] if self.moved else [f"{self.rows} rows"]
        parts += [f"lacks {_named(self.added)}"] if self.added else []
        parts += [f"loses {_named(self.dropped)}"] if self.dropped else []
        return f"{self.reference}: {', '.join(parts)}"


@dataclass(frozen=True)
class Vocabulary:
    """The vocabulary of the model to be built.

    Attributes:
        tokens: the number of each token.
        size: rows of the embeddings, padding counted.
        rows: for each checkpoint, by reference, its row for each token number, -1 where it has none; int64 of shape
            (largest number + 1,).
        known: each checkpoint's own vocabulary.
        tokenizer: transformers' tokenizer, to be saved with the model.
        changes: what becomes of each checkpoint's vocabulary, in the recipe's order.
    """

    tokens: Mapping[str, int]
    size: int
    rows: Mapping[str, torch.Tensor]
    known: Mapping[str, Mapping[str, int]]
    tokenizer: Any
    changes: tuple[VocabularyChange, ...]

    @property
    def count(self) -> int:
        """Rows without the padding."""
        return max(self.tokens.values()) + 1

    def leaves_alone(self, reference: str) -> bool:
        """Whether the checkpoint's embeddings are the vocabulary's as they are."""
        (own,) = (change.rows for change in self.changes if change.reference == reference)
        return self.size == self.count == own and bool((self.rows[reference] == torch.arange(own)).all())


def common_vocabulary(
    policy: TokenizerPolicy, base: str, merged: Mapping[str, Checkpoint], sources: Mapping[str, Checkpoint]
) -> Vocabulary:
    """The vocabulary that a policy makes of several.

    Args:
        base: reference of the checkpoint whose tokens come first.
        merged: the checkpoints that are merged, by reference, in the recipe's order.
        sources: where the policy's own references are looked up.

    Raises:
        CheckpointError: a tokenizer does not load.
    """
    ordered = {base: merged[base], **merged}
    sizes = {reference: embedding_rows(checkpoint) for reference, checkpoint in ordered.items()}
    first = load_tokenizer(merged[base])
    if first is None:
        raise CheckpointError(f"{base} has no tokenizer, so that nobody knows which tokens its embeddings stand for")
    loaded = {reference: load_tokenizer(checkpoint) or first for reference, checkpoint in ordered.items()}
    known = {
        reference: {token: number for token, number in tokenizer.get_vocab().items() if number < sizes[reference]}
        for reference, tokenizer in loaded.items()
    }
    if policy.source == UNION:
        tokenizer = union_tokenizer(
            merged[base], {reference: (loaded[reference], sizes[reference]) for reference in loaded}
        )
    elif policy.source == BASE:
        tokenizer = without_unused_tokens(load_tokenizer(merged[base]), sizes[base], base)
    else:
        tokenizer = load_tokenizer(sources[policy.source])
        if tokenizer is None:
            raise CheckpointError(f"{policy.source} is named as the source of the tokenizer, but has none")
    present = tokenizer.get_vocab()
    tokenizer.add_tokens([token for token, _ in policy.tokens if token not in present])
    tokens: dict[str, int] = tokenizer.get_vocab()
    count, step = max(tokens.values()) + 1, policy.pad_to_multiple_of or 1
    rows = {reference: _rows(tokens, own, count) for reference, own in known.items()}
    changes = tuple(_change(reference, sizes[reference], tokens, known[reference]) for reference in merged)
    return Vocabulary(tokens, -(-count // step) * step, rows, known, tokenizer, changes)


def embedding_rows(checkpoint: Checkpoint) -> int:
    """How many tokens the checkpoint's input embedding has rows for.

    Raises:
        CheckpointError: it has no input embedding that can be told by its name.
    """
    for name, info in checkpoint.tensors.items():
        if place_of(name).layer is None and is_input_embedding(name):
            return info.shape[0]
    raise CheckpointError(
        f"{checkpoint.reference} has no input embedding known by its name; its tokens cannot be moved"
    )


def _named(tokens: tuple[str, ...]) -> str:
    return f"{len(tokens)} {'token' if len(tokens) == 1 else 'tokens'} ({listed(map(repr, tokens))})"


def _rows(tokens: Mapping[str, int], own: Mapping[str, int], count: int) -> torch.Tensor:
    rows = torch.full((count,), -1, dtype=torch.int64)
    both = tokens.keys() & own.keys()
    rows[torch.tensor([tokens[token] for token in both], dtype=torch.int64)] = torch.tensor(
        [own[token] for token in both], dtype=torch.int64
    )
    return rows


def _change(reference: str, rows: int, tokens: Mapping[str, int], own: Mapping[str, int]) -> VocabularyChange:
    return VocabularyChange(
        reference,
        rows,
        sum(tokens.get(token, number) != number for token, number in own.items()),
        tuple(sorted(tokens.keys() - own.keys(), key=lambda token: tokens[token])),
        tuple(sorted(own.keys() - tokens.keys(), key=lambda token: own[token])),
    )
