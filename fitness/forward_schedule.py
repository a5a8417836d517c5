"""A forward schedule: the batches that answer some requests, made once and run for every candidate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from .batch import Batch, even_groups, groups, make_batch
from .token_tree import TokenTree

Tokens: TypeAlias = tuple[int, ...]
Request: TypeAlias = tuple[Tokens, Sequence[Tokens]]
"""A start, and the continuations whose log-likelihoods after it are wanted; none of them empty."""


@dataclass
class Forest:
    """Token trees, and where in them each sequence runs.

    Attributes:
        trees: each becomes a row of a batch.
        homes: for each sequence the number of its tree.
        paths: for each sequence the numbers of its edges in that tree.
    """

    trees: list[TokenTree] = field(default_factory=list)
    homes: list[int] = field(default_factory=list)
    paths: list[list[int]] = field(default_factory=list)


def plant(requests: Sequence[Request], deepest: int, widest: int) -> Forest:
    """Trees for the requests, sequences in the order asked.

    A request has a tree to itself, unless another begins so much like it that this halves its tokens (as with the
    worked examples before each question): wider trees cost more attention. Sequences longer than `deepest` stand alone.

    Args:
        deepest: how many tokens a sequence in a tree with branches may have (see `deepest_tree`).
        widest: how many nodes a tree that several requests share may have, or twice the start if that is more.
    """
    forest = Forest()
    placed: dict[tuple[int, int], tuple[int, list[int]]] = {}
    previous: Tokens = ()
    # in this order, starts that begin alike are neighbours
    for number in sorted(range(len(requests)), key=lambda number: requests[number][0]):
        start, continuations = requests[number]
        if len(start) + max(map(len, continuations)) > deepest:
            for place, continuation in enumerate(continuations):
                forest.trees.append(TokenTree())
                placed[number, place] = len(forest.trees) - 1, forest.trees[-1].add(start, continuation)
            previous = ()
            continue
        shared = _common(previous, start)
        grown = len(start) - shared + sum(map(len, continuations))
        if shared < grown or len(forest.trees[-1]) + grown > max(widest, 2 * len(start)):
            forest.trees.append(TokenTree())
        for place, continuation in enumerate(continuations):
            placed[number, place] = len(forest.trees) - 1, forest.trees[-1].add(start, continuation)
        previous = start
    for home, path in (placed[key] for key in sorted(placed)):
        forest.homes.append(home)
        forest.paths.append(path)
    return forest


def repeated(forest: Forest, times: int) -> Forest:
    """The forest's trees and sequences all over again; repetition r of its tree t has the number r * trees + t."""
    homes = [home + repetition * len(forest.trees) for repetition in range(times) for home in forest.homes]
    return Forest(forest.trees * times, homes, forest.paths * times)


def line_up(requests: Sequence[Request]) -> Forest:
    """A tree, without branches, for every sequence."""
    return plant(requests, deepest=0, widest=0)


class ForwardSchedule:
    """The batches of a forest, on a device.

    Args:
        even: whether to look for the best batches of about `batch_tokens` tokens, for large forests.

    Attributes:
        batches: run one after the other.
        members: for each batch, the numbers of its rows' trees in the forest.
        has_branches: whether the model must be able to read trees.
    """

    def __init__(self, forest: Forest, device: torch.device, batch_tokens: int, even: bool = False) -> None:
        self.batches: list[Batch] = []
        self.members: list[list[int]] = []
        offsets = np.zeros(len(forest.trees), dtype=np.int64)
        edges = 0
        # chains need no mask, but no longer than what branches they are not worth passes of their own
        deepest = max((max(tree.depths) for tree in forest.trees if not tree.is_chain), default=-1) if even else -1
        for chains in (False, True):
            numbers = [
                number for number, tree in enumerate(forest.trees) if (tree.is_chain and len(tree) > deepest) is chains
            ]
            grouped = even_groups if even else groups
            for group in grouped([len(forest.trees[number]) for number in numbers], batch_tokens):
                members = [numbers[index] for index in group]
                self.batches.append(make_batch([forest.trees[number] for number in members], device))
                self.members.append(members)
                for number in members:
                    offsets[number] = edges
                    edges += len(forest.trees[number].edges)
        lengths = [len(path) for path in forest.paths]
        self._starts = np.cumsum([0, *lengths[:-1]])
        self._edges = np.repeat(offsets[forest.homes], lengths) + np.concatenate(forest.paths)
        self.has_branches = any(batch.visible is not None for batch in self.batches)

    @property
    def nbytes(self) -> int:
        """Memory that the schedule holds, in bytes."""
        return sum(batch.nbytes for batch in self.batches) + int(self._edges.nbytes)

    def run(
        self, read: Callable[[Batch], torch.Tensor], enter: Callable[[Sequence[int]], None] = lambda _trees: None
    ) -> npt.NDArray[np.float64]:
        """The sum of what is read at each sequence's edges (`edge_log_likelihoods`, for example), shape (sequences,).

        Args:
            read: gives a figure for each edge of a batch, shape (E,).
            enter: called before each batch with its `members`.
        """
        figures = []
        for batch, members in zip(self.batches, self.members, strict=True):
            enter(members)
            figures.append(read(batch))
        values = torch.cat(figures).double().cpu().numpy()
        sums: npt.NDArray[np.float64] = np.add.reduceat(values[self._edges], self._starts)
        return sums

    @property
    def places(self) -> list[torch.Tensor]:
        """For each batch, where its edges stand among those of all sequences, one sequence after the other.

        Only where no two sequences share an edge: on trees without branches.
        """
        order = torch.from_numpy(np.argsort(self._edges))
        return list(torch.split(order, [len(batch.targets) for batch in self.batches]))


def _common(first: Tokens, second: Tokens) -> int:
    length = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        length += 1
    return length
