"""What a reference model expects at every token, and how far another model's expectations are from it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch

from .forward import in_parts

_LEAST_REST = 1e-6
"""The rest counts as at least this: below it, a difference of sums in float32 is rounding."""


@dataclass(frozen=True)
class Expectations:
    """A model's distributions over the next token, the most probable tokens each: E places, k tokens.

    Attributes:
        tokens: shape (E, k), int32.
        logs: shape (E, k), float32: their log-probabilities, natural.
        whole: whether the k tokens are the whole vocabulary.
    """

    tokens: torch.Tensor
    logs: torch.Tensor
    whole: bool

    @classmethod
    def of(cls, logits: torch.Tensor, top: int) -> Expectations:
        """Those that logits, of shape (E, vocabulary), stand for; the `top` most probable tokens at each place."""
        count = min(top, logits.shape[-1])
        tokens, logs = [], []
        for part in in_parts(logits):
            values = part.float()
            found = values.topk(count, dim=-1)
            tokens.append(found.indices.int())
            logs.append(found.values - values.logsumexp(-1, keepdim=True))
        return cls(torch.cat(tokens), torch.cat(logs), count == logits.shape[-1])

    @classmethod
    def joined(cls, parts: Sequence[Expectations]) -> Expectations:
        """Several, one after the other; there is at least one."""
        tokens, logs = torch.cat([part.tokens for part in parts]), torch.cat([part.logs for part in parts])
        return cls(tokens, logs, parts[0].whole)

    def at(self, places: torch.Tensor) -> Expectations:
        """Only those at some of the places, shape (P,), int64."""
        return Expectations(self.tokens[places], self.logs[places], self.whole)

    def to(self, device: torch.device) -> Expectations:
        """The same on another device."""
        return Expectations(self.tokens.to(device), self.logs.to(device), self.whole)

    @property
    def nbytes(self) -> int:
        """Memory that they take, in bytes."""
        return self.tokens.nbytes + self.logs.nbytes

    def divergence(self, logits: torch.Tensor) -> torch.Tensor:
        """KL(p || q) at each place, for p these expectations and q those of `logits`; shape (E,), float64, in nats.

        The tokens that are not among the k count as one outcome with the probability p_r = 1 - sum of p over the k:
        sum over the k of p (ln p - ln q), plus p_r (ln p_r - ln q_r). Joining outcomes never adds to a divergence, so
        this is a lower bound of the whole one (data processing inequality; Cover and Thomas, 2006).
        """
        found = []
        for part, of_part in zip(in_parts(logits), _as_parts_of(self.tokens, logits), strict=True):
            values = part.float()
            found.append(values.gather(-1, of_part.long()) - values.logsumexp(-1, keepdim=True))
        ours, theirs = self.logs.double(), torch.cat(found).double()
        divergence = (ours.exp() * (ours - theirs)).sum(-1)
        if not self.whole:
            rest, other = ((1 - logs.exp().sum(-1)).clamp(min=_LEAST_REST) for logs in (ours, theirs))
            divergence += rest * (rest.log() - other.log())
        # NaN passes through, and is refused where it is seen
        return divergence.clamp(min=0.0)


def _as_parts_of(tokens: torch.Tensor, logits: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """`tokens` in blocks of rows as long as those of `in_parts(logits)`."""
    return torch.split(tokens, [len(part) for part in in_parts(logits)])


class ExpectationsCache:
    """Keeps expectations by key; those that were used longest ago go first, but the newest stay.

    Args:
        limit: memory for all together, in bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: OrderedDict[Hashable, Expectations] = OrderedDict()

    def __contains__(self, key: Hashable) -> bool:
        return key in self._held

    def get(self, key: Hashable) -> Expectations | None:
        """What is kept under `key`."""
        if key in self._held:
            self._held.move_to_end(key)
        return self._held.get(key)

    def keep(self, key: Hashable, expectations: Expectations) -> None:
        """Keeps them under `key`."""
        self._held[key] = expectations

    def shrink(self, needed: int) -> None:
        """Keeps the limit, and the `needed` that were used last whatever they take."""
        while len(self._held) > needed and sum(one.nbytes for one in self._held.values()) > self._limit:
            self._held.popitem(last=False)
