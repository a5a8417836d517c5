"""Random search: the baseline that any other optimizer must beat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...core.contracts import Direction, Proposal, Told
from ...core.gene_space import GeneSpace
from .box import Box
from .open_proposals import Open
from .turns import TurnTaking


class RandomSearch(TurnTaking):
    """Every gene uniform over its range or its choices, whatever the results."""

    name = "random"
    multi_objective = True

    def __init__(self, space: GeneSpace, directions: Sequence[Direction], seed: int, **options: Any) -> None:
        super().__init__(space, directions, seed, **options)
        self._box = Box(space)
        self._random = np.random.default_rng(self._derived_seed())
        self._given = iter(self.first)

    def _propose(self, n: int) -> list[Open]:
        return [Open(self._next()) for _ in range(n)]

    def _next(self) -> Proposal:
        given = next(self._given, None)
        if given is not None:
            return Proposal(given, "given")
        return Proposal(self._box.decode(self._random.random(self._box.dimension)), "random")

    def _learn(self, results: Sequence[tuple[Any, Told]]) -> None:
        pass
