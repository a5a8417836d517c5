"""Contract `heterosis.optimizers`: proposes genomes and learns from their results."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ..errors import OptimizerError
from ..gene_space import GeneSpace
from ..genome import Genome
from .objective import Direction


@dataclass(frozen=True)
class Proposal:
    """A genome to try, and where it comes from.

    Attributes:
        parents: the candidate numbers (see `Told.number`) that it was bred from; empty if drawn from a model or at
            random.
        operator: how it was made, in the field's words: `random`, `crossover+mutation`, `cma`, `tpe`...
    """

    genome: Genome
    operator: str
    parents: tuple[int, ...] = ()


@dataclass(frozen=True)
class Told:
    """The result of a proposal.

    Attributes:
        number: the candidate's number in the study. Two proposals of one genome carry the same number.
        values: one per objective, in the study's order and in the objective's own direction; None if it failed.
        errors: the values' standard errors, 0 where a value is exact; None if all are to be taken as they are.
    """

    number: int
    genome: Genome
    values: tuple[float, ...] | None
    errors: tuple[float, ...] | None = None


class Optimizer(ABC):
    """Deterministic: the same space, directions, seed, options and sequence of calls give the same proposals.

    Calls take turns: `ask`, then `tell` with a result for each proposal of that ask, in its order; then `ask` again.
    Unless `steady_state` was called: then results are told one by one as they arrive.
    State is never stored: it is rebuilt by asking and telling again what the study has recorded.

    Attributes:
        takes_first: whether it has the option `first`: genomes that are tried before any other. A search of bit-widths
            gives it what it starts from.
        takes_errors: whether it has the option `errors`: by level gene and level, what it is estimated to do (0 or
            more), or None. A search of bit-widths gives it the sensitivities.
    """

    name: ClassVar[str]
    multi_objective: ClassVar[bool] = False
    takes_first: ClassVar[bool] = False
    takes_errors: ClassVar[bool] = False

    @abstractmethod
    def __init__(self, space: GeneSpace, directions: Sequence[Direction], seed: int, **options: Any) -> None:
        """Prepares a search.

        Raises:
            ConfigurationError: an option is unknown or out of range, or there are more objectives than it can take.
        """

    def steady_state(self) -> None:
        """Called before the first ask where results are told as they arrive, so that no worker waits for another.

        From then on each `ask(1)` may come while earlier proposals have not been told, and each `tell` brings one
        result, of any proposal that has not been told yet: of the first of its genome.

        Raises:
            OptimizerError: this one works in turns only, or has been asked already.
        """
        raise OptimizerError(
            f"the optimizer {self.name!r} takes whole generations of results only; choose another, or say "
            "`steady_state: false` (--generations)"
        )

    @abstractmethod
    def ask(self, n: int) -> list[Proposal]:
        """Between 1 and `n` proposals that can be evaluated in any order, at the same time.

        Raises:
            OptimizerError: proposals of the last ask have not been told (unless in steady state).
        """

    @abstractmethod
    def tell(self, results: Sequence[Told]) -> None:
        """Learns the results of the last ask, in its order. A failed candidate counts as worse than any other.

        Raises:
            OptimizerError: these are not the results of the last ask (in steady state: not that of an open proposal).
        """
