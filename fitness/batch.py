"""Batches: token trees of about the same size, padded on the right and put on the model's device."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from .token_tree import TokenTree

_TOKENS_OF_A_PASS = 32
"""How many tokens cost about as much as there being one more forward pass."""


@dataclass(frozen=True, eq=False)
class Batch:
    """The tensors of one forward pass; B trees, L nodes in the largest, N nodes with edges, E edges in all.

    Attributes:
        tokens: shape (B, L), int64.
        positions: shape (B, L), int64; None if every tree is a chain, whose positions are the plain ones.
        visible: shape (B, 1, L, L), bool: [b, 0, i, j] if node i sees node j; None if every tree is a chain. Padding
            sees itself, because an attention row that sees nothing turns NaN.
        rows, columns: shape (N,), int64: where `tokens` has a node with edges.
        sources: shape (E,), int64: for each edge the index of its node among the N.
        targets: shape (E,), int64: for each edge its token.
    """

    tokens: torch.Tensor
    positions: torch.Tensor | None
    visible: torch.Tensor | None
    rows: torch.Tensor
    columns: torch.Tensor
    sources: torch.Tensor
    targets: torch.Tensor

    @property
    def nbytes(self) -> int:
        """Memory that the tensors hold, in bytes."""
        return sum(tensor.nbytes for tensor in vars(self).values() if tensor is not None)


def groups(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Indices of `lengths`, longest first, in groups of at most `batch_tokens` tokens with their padding.

    One that is longer than `batch_tokens` has a group of its own.
    """
    found: list[list[int]] = []
    room = 0
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        if room == 0:
            found.append([])
            room = max(batch_tokens // lengths[index], 1)
        found[-1].append(index)
        room -= 1
    return found


def even_groups(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """As `groups`, but of about `batch_tokens` tokens, wherever the batches have the least padding and are the fewest.

    Worth its time where there are many rows, so that batches can be cut almost anywhere.
    """

    def cost(found: list[list[int]]) -> int:
        return sum(lengths[group[0]] * len(group) + _TOKENS_OF_A_PASS for group in found)

    limits = range(batch_tokens // 2, 2 * batch_tokens, max(batch_tokens // 32, 1))
    return min((groups(lengths, limit) for limit in limits), key=cost)


def make_batch(trees: Sequence[TokenTree], device: torch.device) -> Batch:
    """The trees as one batch, row by row; edges are numbered tree after tree."""
    width = max(len(tree) for tree in trees)
    tokens = torch.zeros(len(trees), width, dtype=torch.int64)
    positions = torch.zeros_like(tokens)
    plain = all(tree.is_chain for tree in trees)
    visible = None if plain else torch.eye(width, dtype=torch.bool).repeat(len(trees), 1, 1, 1)
    asked: dict[tuple[int, int], int] = {}
    sources, targets = [], []
    for row, tree in enumerate(trees):
        tokens[row, : len(tree)] = torch.tensor(tree.tokens)
        positions[row, : len(tree)] = torch.tensor(tree.depths)
        if visible is not None:
            visible[row, 0, : len(tree), : len(tree)] = torch.from_numpy(tree.ancestors())
        for node, token in tree.edges:
            sources.append(asked.setdefault((row, node), len(asked)))
            targets.append(token)
    return Batch(
        tokens=tokens.to(device),
        positions=None if plain else positions.to(device),
        visible=None if visible is None else visible.to(device),
        rows=_indices((row for row, _ in asked), device),
        columns=_indices((node for _, node in asked), device),
        sources=_indices(sources, device),
        targets=_indices(targets, device),
    )


def _indices(values: Iterable[int], device: torch.device) -> torch.Tensor:
    return torch.tensor(list(values), dtype=torch.int64, device=device)
