"""Open proposals: those that have been handed out and not been told yet, and which of them a result is of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...core.contracts import Proposal, Told
from ...core.errors import OptimizerError


@dataclass(frozen=True, eq=False)
class Open:
    """A proposal that waits for its result.

    Attributes:
        source: what the optimizer made it of, and will learn with: a trial of Optuna's, an individual of pymoo's.
    """

    proposal: Proposal
    source: Any = None


def of_turn(waiting: Sequence[Open], results: Sequence[Told]) -> list[Open]:
    """All that wait, in their order, if the results are theirs.

    Raises:
        OptimizerError: they are not.
    """
    _check_any(waiting)
    if len(results) != len(waiting):
        raise OptimizerError(f"{len(results)} results told for {len(waiting)} proposals")
    for place, (one, told) in enumerate(zip(waiting, results, strict=True)):
        if told.genome != one.proposal.genome:
            raise OptimizerError(f"result {place} is for {told.genome}, but {one.proposal.genome} was proposed there")
    return list(waiting)


def of_one(waiting: Sequence[Open], results: Sequence[Told]) -> list[Open]:
    """The first that waits for the only result, whose genome says which it is.

    Raises:
        OptimizerError: there is not one result, or no such genome waits.
    """
    _check_any(waiting)
    if len(results) != 1:
        raise OptimizerError(f"{len(results)} results told at once; in steady state, tell one at a time")
    for one in waiting:
        if one.proposal.genome == results[0].genome:
            return [one]
    raise OptimizerError(f"the result is for {results[0].genome}, which is none of the {len(waiting)} open proposals")


def _check_any(waiting: Sequence[Open]) -> None:
    if not waiting:
        raise OptimizerError("there is nothing to tell: ask for proposals first")
