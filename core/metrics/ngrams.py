"""How often each n-gram occurs in an answer and in each of its references, for a whole batch at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from .sequences import Sequences, check_pair


@dataclass(frozen=True)
class Counts:
    """The n-grams of one order. A column is an n-gram of one hypothesis or of its references.

    Attributes:
        hypothesis: int64 [columns].
        references: int64 [references, columns].
        owner: int64 [columns], the hypothesis that a column belongs to.
        batch: how many hypotheses there are.
    """

    hypothesis: torch.Tensor
    references: torch.Tensor
    owner: torch.Tensor
    batch: int

    def summed(self, columns: torch.Tensor) -> torch.Tensor:
        """Sums over the n-grams of each hypothesis: [..., columns] to [..., batch]."""
        sums = columns.new_zeros(*columns.shape[:-1], self.batch)
        return sums.index_add_(-1, self.owner, columns)


def count_ngrams(hypotheses: Sequences, references: Sequences, order: int) -> Iterator[Counts]:
    """Counts n-grams of 1 to `order` tokens, exactly: they are numbered by sorting, not hashed.

    An n-gram's number follows from the number of its first n-1 tokens and its last token, so that no key outgrows an
    int64, whatever the order and the vocabulary.

    Args:
        hypotheses: [batch].
        references: [batch, references].

    Raises:
        ConfigurationError: the shapes do not fit each other, or a hypothesis has no reference.
    """
    check_pair(hypotheses, references)
    longest = max(hypotheses.longest, references.longest)
    both = Sequences(
        torch.cat([hypotheses.widened(longest).unsqueeze(1), references.widened(longest)], 1),
        torch.cat([hypotheses.lengths.unsqueeze(1), references.lengths], 1),
    )
    tokens, vocabulary = _numbered(both.ids, both.valid())
    grams, distinct = tokens, vocabulary
    for length in range(1, order + 1):
        valid = both.valid(length)
        if length > 1:
            last = torch.nn.functional.pad(tokens[..., length - 1 :], (0, min(length - 1, longest)))
            grams, distinct = _numbered(grams * vocabulary + last, valid)
        yield _counted(grams, distinct, valid)


def _numbered(keys: torch.Tensor, valid: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Numbers the distinct keys from 0; elsewhere stands 0. Also how many there are."""
    distinct, numbers = torch.unique(keys[valid], return_inverse=True)
    return torch.zeros_like(keys, dtype=torch.int64).masked_scatter_(valid, numbers), distinct.numel()


def _counted(grams: torch.Tensor, distinct: int, valid: torch.Tensor) -> Counts:
    batch, sources, _ = grams.shape
    owner, source, _ = valid.nonzero(as_tuple=True)
    keys, columns = torch.unique(owner * distinct + grams[valid], return_inverse=True)
    counts = torch.bincount(source * keys.numel() + columns, minlength=sources * keys.numel())
    counts = counts.view(sources, keys.numel())
    return Counts(counts[0], counts[1:], keys // max(distinct, 1), batch)
