"""Embeddings in a common vocabulary: rows moved, missing ones filled in, padding added, when they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import torch

from .checkpoints import Checkpoint, TensorInfo
from .errors import ConfigurationError
from .tokenizer_policy import TokenizerPolicy, TokenSource
from .vocabulary import Vocabulary


class EmbeddingGroup:
    """Embeddings of several checkpoints that are merged with each other, and what fills a row that one of them lacks.

    A token that some lack gets the base's embedding if the base has it, that of the only one who has it, or the mean of
    all who have it; zeros if nobody has it; or what the policy says for it (mergekit's rules).

    Args:
        members: by reference, the checkpoint and the name of its tensor, in the order they are merged in.
        base: reference of the common ancestor.
        dtype: what rows are added up in.

    Raises:
        ConfigurationError: the policy takes a token from a checkpoint that has it not, or that is not merged.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        policy: TokenizerPolicy,
        members: Mapping[str, tuple[Checkpoint, str]],
        base: str | None,
        dtype: torch.dtype,
    ) -> None:
        self.vocabulary = vocabulary
        self.members = members
        self.dtype = dtype
        self._tokens = dict(policy.tokens)
        self._base = base
        for token, source in self._tokens.items():
            self._row_for(token, source)

    def aligned(self, reference: str) -> torch.Tensor:
        """The embedding of one of them, with a row for each token of the vocabulary, then the padding (their mean)."""
        vocabulary, rows = self.vocabulary, self.vocabulary.rows[reference]
        own = self._read(reference)
        result = own.new_zeros((vocabulary.size, *own.shape[1:]))
        kept = (rows >= 0) & ~self._forced
        result[kept.nonzero()[:, 0]] = own[rows[kept]]
        gaps = ~kept
        for donor, numbers, taken in self._donors:
            wanted = gaps[numbers]
            if wanted.any():
                result[numbers[wanted]] = self._read(donor)[taken[wanted]]
        shared = (gaps & self._averaged).nonzero()[:, 0]
        if len(shared):
            result[shared] = self._mean(shared, own)
        if vocabulary.size > vocabulary.count:
            result[vocabulary.count :] = result[: vocabulary.count].mean(dim=0)
        return result

    def _read(self, reference: str) -> torch.Tensor:
        checkpoint, name = self.members[reference]
        return checkpoint.read(name).to(self.dtype)

    def _mean(self, numbers: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        total = like.new_zeros((len(numbers), *like.shape[1:]))
        count = torch.zeros(len(numbers), dtype=torch.int64)
        for reference in self.members:
            rows = self.vocabulary.rows[reference][numbers]
            total[rows >= 0] += self._read(reference)[rows[rows >= 0]]
            count += rows >= 0
        return total / count.view(-1, *[1] * (like.dim() - 1)).to(total.dtype)

    @cached_property
    def _present(self) -> torch.Tensor:
        return torch.stack([self.vocabulary.rows[reference] >= 0 for reference in self.members])

    @cached_property
    def _forced(self) -> torch.Tensor:
        forced = torch.zeros(self.vocabulary.count, dtype=torch.bool)
        for token, source in self._tokens.items():
            forced[self.vocabulary.tokens[token]] = source.force
        return forced

    @cached_property
    def _unlisted(self) -> torch.Tensor:
        unlisted = torch.ones(self.vocabulary.count, dtype=torch.bool)
        unlisted[[self.vocabulary.tokens[token] for token in self._tokens]] = False
        return unlisted

    @cached_property
    def _averaged(self) -> torch.Tensor:
        several = self._unlisted & (self._present.sum(0) > 1)
        return several if self._base not in self.members else several & ~self._present[self._place(self._base)]

    @cached_property
    def _donors(self) -> list[tuple[str, torch.Tensor, torch.Tensor]]:
        """For each checkpoint that gives rows to others: the tokens' numbers, and its rows for them."""
        found = []
        alone = self._unlisted & (self._present.sum(0) == 1)
        for reference, present in zip(self.members, self._present, strict=True):
            mask = present & (self._unlisted if reference == self._base else alone)
            numbers = mask.nonzero()[:, 0]
            found.append((reference, numbers, self.vocabulary.rows[reference][numbers]))
        for token, source in self._tokens.items():
            row = self._row_for(token, source)
            if source.model is not None and row is not None:
                found.append((source.model, torch.tensor([self.vocabulary.tokens[token]]), torch.tensor([row])))
        return found

    def _row_for(self, token: str, source: TokenSource) -> int | None:
        """The row that a listed token is taken from; None if no checkpoint needs it, or if it is zeros."""
        number = self.vocabulary.tokens[token]
        if source.model is None or (not source.force and bool(self._present[:, number].all())):
            return None
        if source.model not in self.members:
            raise ConfigurationError(
                f"the token {token!r} is to be taken from {source.model!r}, which is not merged; merged are "
                f"{', '.join(self.members)}"
            )
        if source.token_id is not None:
            checkpoint, name = self.members[source.model]
            if source.token_id >= checkpoint.tensors[name].shape[0]:
                raise ConfigurationError(f"the token {token!r}: {source.model} has no token {source.token_id}")
            return source.token_id
        row = self.vocabulary.known[source.model].get(source.token or token)
        if row is None:
            raise ConfigurationError(
                f"the token {token!r} is to be taken from {source.model}, which has no token {source.token or token!r}"
            )
        return row

    def _place(self, reference: str | None) -> int:
        return list(self.members).index(str(reference))


class AlignedCheckpoint(Checkpoint):
    """One embedding of a checkpoint, in a common vocabulary.

    Args:
        source: reference of the checkpoint within the group.
        name: the tensor's name in the model to be built.
    """

    def __init__(self, group: EmbeddingGroup, source: str, name: str, reference: str) -> None:
        checkpoint, stored = group.members[source]
        self.reference = reference
        self.directory: Path = checkpoint.directory
        self.group = group
        shape = (group.vocabulary.size, *checkpoint.tensors[stored].shape[1:])
        self.tensors = {name: TensorInfo(shape, group.dtype)}
        self._source = source

    def read(self, name: str) -> torch.Tensor:
        """The embedding, made anew."""
        assert name in self.tensors
        return self.group.aligned(self._source)

    def weight_files(self) -> tuple[Path, ...]:
        """The files of all checkpoints that rows may come from."""
        files: Sequence[Path] = [
            file for checkpoint, _ in self.group.members.values() for file in checkpoint.weight_files()
        ]
        return tuple(dict.fromkeys(files))
