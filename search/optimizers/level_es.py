"""An evolution strategy for bit-widths: children by level swaps that keep the budget, and small steps of all else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from pymoo.operators.survival.rank_and_crowding.metrics import calc_crowding_distance
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

from ...core.contracts import Direction, Proposal, Told
from ...core.gene_space import GeneSpace
from ...core.genome import Genome
from .box import Box
from .open_proposals import Open
from .options import Number
from .steps import Steps
from .turns import TurnTaking

_TRIES = 20


@dataclass(frozen=True)
class _Member:
    number: int
    genome: Genome
    values: npt.NDArray[np.float64]  # to be minimised


class LevelEs(TurnTaking):
    """A (mu + lambda) evolution strategy whose mutation is that of EvoPress (Sieberling et al., 2024).

    A child has a few levels swapped inside the budget, or numbers moved by Gaussian steps, or both; there is no
    crossover. The best `population` of all that have been told are the parents, whenever they were made; of several
    objectives, those that non-dominated sorting and crowding leave (Deb et al., 2002).

    In steady state each result competes at once, and children are bred one by one.
    """

    name = "level_es"
    multi_objective = True
    default_first = ("middle",)
    options: ClassVar = {
        "population": Number(None, 1, "parents that are kept (mu): 3, or 16 with several objectives", whole=True),
        "offspring": Number(16, 1, "candidates in a generation (lambda)", whole=True),
        "swaps": Number(3, 1, "level swaps that a child may get", whole=True),
        "sigma": Number(0.1, 1e-6, "standard deviation of a step, as a fraction of a gene's range", high=1.0),
    }

    def __init__(self, space: GeneSpace, directions: Sequence[Direction], seed: int, **options: Any) -> None:
        super().__init__(space, directions, seed, **options)
        self._random = np.random.default_rng(self._derived_seed())
        self._signs = np.array([-1.0 if direction == "maximize" else 1.0 for direction in self.directions])
        self._size = self._parents_kept()
        self._steps = Steps(space, self.settings["sigma"], int(self.settings["swaps"]))
        self._box = Box(space)
        self._parents: list[_Member] = []
        self._beginners = self._first_proposals()
        self._proposed = {proposal.genome for proposal in self._beginners}

    def _parents_kept(self) -> int:
        return int(self.settings["population"] or (3 if len(self.directions) == 1 else 16))

    def _first_proposals(self) -> list[Proposal]:
        given = [Proposal(genome, "given") for genome in self.first]
        missing = max(self._size - len(given), 0)
        return given + [Proposal(self._drawn(), "sampling") for _ in range(missing)]

    def _propose(self, n: int) -> list[Open]:
        if self._beginners:
            first, self._beginners = self._beginners[:n], self._beginners[n:]
            return [Open(proposal) for proposal in first]
        return [Open(self._child()) for _ in range(min(n, int(self.settings["offspring"])))]

    def _child(self) -> Proposal:
        proposal = Proposal(self._drawn(), "sampling")
        for _ in range(_TRIES if self._parents else 0):
            parent = self._parents[int(self._random.integers(len(self._parents)))]
            genome, operator = self._varied(parent.genome)
            proposal = Proposal(genome, operator, (parent.number,))
            if genome not in self._proposed:
                break
        self._proposed.add(proposal.genome)
        return proposal

    def _varied(self, parent: Genome) -> tuple[Genome, str]:
        return self._steps.child(parent, self._random)

    def _drawn(self) -> Genome:
        return self._box.decode(self._random.random(self._box.dimension))

    def _learn(self, results: Sequence[tuple[Any, Told]]) -> None:
        known = {member.genome: member for member in self._parents}
        for _, told in results:
            if told.values is not None:
                values = self._signs * np.array(told.values, dtype=np.float64)
                known[told.genome] = _Member(told.number, told.genome, values)
        self._parents = _survivors(list(known.values()), self._size)


def _survivors(members: list[_Member], size: int) -> list[_Member]:
    """The best; of equals, the ones told last, so that a search may drift across what makes no difference."""
    if len(members) <= size:
        return members
    newest = members[::-1]
    values = np.array([member.values for member in newest])
    kept: list[_Member] = []
    for front in NonDominatedSorting().do(values):
        room = size - len(kept)
        order = np.sort(front)
        if len(order) > room and values.shape[1] > 1:
            crowding = calc_crowding_distance(values[order])
            order = order[np.argsort(-crowding, kind="stable")]
        kept += [newest[place] for place in order[:room]]
        if len(kept) == size:
            break
    return kept
