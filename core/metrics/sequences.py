"""A batch of token sequences of unequal lengths, as tensors."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch

from ..errors import ConfigurationError

ABSENT = -1
"""The length of a sequence that is not there."""


@dataclass(frozen=True)
class Sequences:
    """Token sequences, padded to the longest.

    Attributes:
        ids: whole numbers [..., longest], any but equal for equal tokens; past a sequence's length they are not read.
        lengths: int64 [...], on the same device; -1 where an answer has fewer references than another.

    Raises:
        ConfigurationError: the shapes do not fit each other, or a length is out of range.
    """

    ids: torch.Tensor
    lengths: torch.Tensor

    def __post_init__(self) -> None:
        if self.ids.shape[:-1] != self.lengths.shape or self.ids.dim() == 0:
            raise ConfigurationError(
                f"ids of shape {list(self.ids.shape)} need lengths of shape {list(self.ids.shape[:-1])}, "
                f"not {list(self.lengths.shape)}"
            )
        if self.lengths.numel() and not ABSENT <= int(self.lengths.min()) <= int(self.lengths.max()) <= self.longest:
            raise ConfigurationError(f"a length is not between {ABSENT} and {self.longest}, the width of the ids")

    @property
    def longest(self) -> int:
        """The width of the ids."""
        return self.ids.shape[-1]

    def widened(self, longest: int) -> torch.Tensor:
        """The ids, padded with zeros to a width that is not smaller."""
        return torch.nn.functional.pad(self.ids, (0, longest - self.longest))

    def valid(self, order: int = 1) -> torch.Tensor:
        """Where an n-gram of this order begins: bool [..., longest]."""
        places = torch.arange(self.longest, device=self.ids.device)
        return places < (self.lengths - (order - 1)).unsqueeze(-1)


def check_pair(hypotheses: Sequences, references: Sequences) -> None:
    """Raises ConfigurationError unless there is at least one reference, [batch, references], to each hypothesis."""
    batch = hypotheses.lengths.shape
    if len(batch) != 1 or references.lengths.dim() != 2 or references.lengths.shape[:1] != batch:
        raise ConfigurationError(
            f"hypotheses must be [batch, longest] and references [batch, references, longest], not "
            f"{list(hypotheses.ids.shape)} and {list(references.ids.shape)}"
        )
    without = (references.lengths < 0).all(1)
    if bool(without.any()):
        raise ConfigurationError(f"hypothesis {int(without.nonzero()[0])} has no reference")
    if bool((hypotheses.lengths < 0).any()):
        raise ConfigurationError("a hypothesis is absent; an empty one has the length 0")


def encoded(
    hypotheses: Sequence[Sequence[Hashable]], references: Sequence[Sequence[Sequence[Hashable]]]
) -> tuple[Sequences, Sequences]:
    """Numbers the tokens of answers and of their references, the same number for the same token.

    Args:
        hypotheses: the tokens of each answer.
        references: for each answer, the tokens of each of its references.

    Returns:
        Sequences [batch] and [batch, references], on the CPU.
    """
    numbers: dict[Hashable, int] = {}

    def numbered(tokens: Sequence[Hashable]) -> list[int]:
        return [numbers.setdefault(token, len(numbers)) for token in tokens]

    most = max((len(group) for group in references), default=1)
    rows = [[*map(numbered, group), *[None] * (most - len(group))] for group in references]
    padded = _padded([row for group in rows for row in group])
    shape = (len(rows), most)
    return (
        _padded([numbered(tokens) for tokens in hypotheses]),
        Sequences(padded.ids.view(*shape, padded.longest), padded.lengths.view(shape)),
    )


def code_points(texts: Sequence[str]) -> Sequences:
    """The Unicode code points of each text: Sequences [batch], on the CPU."""
    return _padded([list(map(ord, text)) for text in texts])


def _padded(rows: Sequence[list[int] | None]) -> Sequences:
    lengths = torch.tensor([ABSENT if row is None else len(row) for row in rows], dtype=torch.int64)
    ids = torch.zeros(len(rows), max(int(lengths.max()), 0) if rows else 0, dtype=torch.int64)
    present = [number for row in rows if row for number in row]
    ids[torch.arange(ids.shape[1]) < lengths.unsqueeze(1)] = torch.tensor(present, dtype=torch.int64)
    return Sequences(ids, lengths)
