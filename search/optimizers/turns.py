"""What every built-in optimizer shares: whose turn it is, what it is told, options, genomes to try first."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, get_args

from ...core import registry
from ...core.contracts import Direction, Optimizer, Proposal, Told
from ...core.errors import ConfigurationError, OptimizerError, PluginError, did_you_mean
from ...core.gene_space import GeneSpace
from ...core.seeds import derived_seed
from .open_proposals import Open, of_one, of_turn
from .options import Option, read_first, read_options
from .ties import LastingTies, tied


class TurnTaking(Optimizer):
    """An optimizer that only has to say how it proposes (`_propose`) and how it learns (`_learn`), in turns or not.

    Every subclass honours the option `first`: a list of genomes to try before any other.

    Attributes:
        options: the options that the user may set, besides `first`.
        default_first: `first` if the user does not give it.
        settings: a value for each of the options.
    """

    takes_first = True
    options: ClassVar[Mapping[str, Option]] = {}
    default_first: ClassVar[tuple[str, ...]] = ()

    def __init__(self, space: GeneSpace, directions: Sequence[Direction], seed: int, **options: Any) -> None:
        _check_directions(type(self), directions)
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise ConfigurationError(f"a seed is a whole number, 0 or more, not {seed!r}")
        self.space = space
        self.directions = tuple(directions)
        self.first = read_first(space, options.pop("first", self.default_first))
        self.settings = read_options(self.name, self.options, options)
        self._seed = seed
        self._asked = False
        self._open: list[Open] = []
        self._ties: LastingTies | None = None

    @property
    def _steady(self) -> bool:
        return self._ties is not None

    def steady_state(self) -> None:
        """From the first ask on, results are told one by one as they arrive; see the contract."""
        if self._asked:
            raise OptimizerError("this optimizer has been asked already; call `steady_state` before the first ask")
        self._ties = LastingTies(self.directions)

    def ask(self, n: int) -> list[Proposal]:
        """Between 1 and `n` proposals; see the contract."""
        if n < 1:
            raise OptimizerError(f"asked for {n} proposals; ask for at least one")
        if self._open and not self._steady:
            raise OptimizerError(f"tell the results of the last {len(self._open)} proposals before asking again")
        self._asked = True
        proposed = self._propose(n)
        self._open.extend(proposed)
        return [one.proposal for one in proposed]

    def tell(self, results: Sequence[Told]) -> None:
        """Learns the results of the last ask, or in steady state that of any open proposal.

        Results that cannot be told apart within their errors are learned as ties; NaN or infinite counts as failed.
        """
        found = (of_one if self._steady else of_turn)(self._open, results)
        for told in results:
            if told.values is not None and len(told.values) != len(self.directions):
                raise OptimizerError(f"{len(told.values)} values told for {len(self.directions)} objectives")
        self._open = [one for one in self._open if one not in found]
        finite = [_only_finite(told) for told in results]
        known = tied(finite, self.directions) if self._ties is None else [self._ties.joined(told) for told in finite]
        self._learn([(one.source, told) for one, told in zip(found, known, strict=True)])

    def _derived_seed(self, *purpose: str | int) -> int:
        return derived_seed(self._seed, "optimizer", self.name, *purpose)

    @abstractmethod
    def _propose(self, n: int) -> list[Open]:
        """Between 1 and `n` proposals; the turn has been checked."""

    @abstractmethod
    def _learn(self, results: Sequence[tuple[Any, Told]]) -> None:
        """Learns from results, each with the source of its proposal; values are finite, or None if it failed.

        In turns they are those of the last proposals, in their order; in steady state there is one.
        """


def _only_finite(told: Told) -> Told:
    if told.values is None or all(math.isfinite(value) for value in told.values):
        return told
    return replace(told, values=None)


def _check_directions(optimizer: type[Optimizer], directions: Sequence[Direction]) -> None:
    if not directions:
        raise ConfigurationError("there is no objective: nothing to maximize or minimize")
    for direction in directions:
        if direction not in get_args(Direction):
            raise ConfigurationError(f"no direction {direction!r}. {did_you_mean(str(direction), get_args(Direction))}")
    if len(directions) > 1 and not optimizer.multi_objective:
        raise ConfigurationError(
            f"the optimizer {optimizer.name!r} takes one objective, and there are {len(directions)}; "
            f"these take several: {', '.join(_multi_objective_names())}"
        )


def _multi_objective_names() -> list[str]:
    found = []
    for name in registry.names("optimizers"):
        try:
            if registry.load("optimizers", name).multi_objective:
                found.append(name)
        except PluginError:  # one broken plugin must not hide the advice
            continue
    return found
