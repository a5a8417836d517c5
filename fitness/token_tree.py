"""A tree of tokens: sequences that begin alike share the tokens they begin with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


class TokenTree:
    """The tokens that a model is fed for some sequences, and the edges whose log-likelihoods it is asked for.

    A node is a token that is fed; node 0 is the first. An edge (node, token) asks for log P(token | the tokens from
    node 0 to that node). The last token of a sequence is read off its parent's logits: it is an edge but no node,
    unless another sequence goes on through it.

    Attributes:
        tokens: of each node; a parent comes before its children.
        parents: number of each node's parent, -1 for node 0.
        depths: of each node; node 0 has depth 0. The position that the model is told.
        edges: distinct (node, token) pairs.
    """

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.parents: list[int] = []
        self.depths: list[int] = []
        self._nodes: dict[tuple[int, int], int] = {}
        self._edges: dict[tuple[int, int], int] = {}

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def edges(self) -> list[tuple[int, int]]:
        """The edges in the order of their numbers."""
        return list(self._edges)

    @property
    def is_chain(self) -> bool:
        """Whether each token follows the one before, so that plain causal attention will do."""
        return self.depths == list(range(len(self.depths)))

    def add(self, start: Sequence[int], continuation: Sequence[int]) -> list[int]:
        """Adds a sequence; returns the numbers of the edges along `continuation`, one for each of its tokens.

        Args:
            start: token ids, at least one; every sequence of a tree has the same first token.
            continuation: token ids, at least one.
        """
        node = -1
        for token in start:
            node = self._step(node, token)
        path = []
        for token in continuation[:-1]:
            path.append(self._edge(node, token))
            node = self._step(node, token)
        path.append(self._edge(node, continuation[-1]))
        return path

    def ancestors(self) -> npt.NDArray[np.bool_]:
        """Which nodes each node sees, shape (nodes, nodes): itself and those on the way to it."""
        seen = np.zeros((len(self), len(self)), dtype=np.bool_)
        for node, parent in enumerate(self.parents):
            if parent >= 0:
                seen[node] = seen[parent]
            seen[node, node] = True
        return seen

    def _step(self, node: int, token: int) -> int:
        child = self._nodes.setdefault((node, token), len(self.tokens))
        if child == len(self.tokens):
            self.tokens.append(token)
            self.parents.append(node)
            self.depths.append(self.depths[node] + 1 if node >= 0 else 0)
        return child

    def _edge(self, node: int, token: int) -> int:
        return self._edges.setdefault((node, token), len(self._edges))
