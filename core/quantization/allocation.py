"""Allocation: the levels of the least estimated error that a limit on costs allows, by integer programming."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from ..errors import ConfigurationError
from ..native_output import native_output_dropped
from .budget import LevelCosts

_GAP = 1e-6
_SECONDS = 30.0


@dataclass(frozen=True)
class Allocation:
    """A level for each gene.

    Attributes:
        cost: what it takes, as `LevelCosts.total`.
        error: the sum of the errors of its levels.
        gap: how far, relative to `error`, the least possible error may lie below it; 0 if it is the least.
    """

    levels: Mapping[str, str]
    cost: int
    error: float
    gap: float


def allocate(costs: LevelCosts, errors: Mapping[str, Mapping[str, float]], limit: int) -> Allocation:
    """Minimises the sum of errors over all choices of a level for each gene whose cost keeps `limit`.

    A multiple-choice knapsack, solved by branch and bound (HiGHS): exactly, or within a proven gap where that takes
    longer than half a minute.

    Args:
        errors: by gene and level, finite, 0 or more: what the level is estimated to do, whatever the others do.

    Raises:
        ConfigurationError: the limit is below the cheapest model, or an error is negative or not finite.
    """
    if costs.least > limit:
        raise ConfigurationError(f"a limit of {limit} is below the cheapest model, which costs {costs.least}")
    pairs = [(gene, level) for gene, levels in costs.costs.items() for level in levels]
    error = np.array([errors[gene][level] for gene, level in pairs])
    if not np.isfinite(error).all() or (error < 0).any():
        raise ConfigurationError("the errors of levels must be finite and not negative")
    added = np.array([costs.costs[gene][level] - min(costs.costs[gene].values()) for gene, level in pairs])
    room = limit - costs.least
    # the solver keeps constraints up to a tolerance; what exceeds the limit within it is solved again a little tighter
    for room_given in (room, room * (1 - 1e-5)):
        chosen, gap = _solved(pairs, error, added, room_given)
        if chosen is None:
            continue
        levels = {pairs[place][0]: pairs[place][1] for place in chosen}
        cost = costs.total(levels)
        if cost <= limit:
            return Allocation(levels, cost, float(error[chosen].sum()), gap)
    cheapest = {gene: min(levels, key=lambda level: levels[level]) for gene, levels in costs.costs.items()}
    found = float(sum(errors[gene][level] for gene, level in cheapest.items()))
    return Allocation(cheapest, costs.total(cheapest), found, 1.0)


def _solved(
    pairs: list[tuple[str, str]], error: np.ndarray, added: np.ndarray, room: float
) -> tuple[list[int] | None, float]:
    genes = {gene: row for row, gene in enumerate(dict.fromkeys(gene for gene, _ in pairs))}
    rows = np.array([genes[gene] for gene, _ in pairs])
    columns = np.arange(len(pairs))
    one_each = coo_array((np.ones(len(pairs)), (rows, columns)), shape=(len(genes), len(pairs)))
    # both are scaled to about 1, where the solver's tolerances are meant for
    whole = max(float(added.max()), 1.0)
    scale = float(error.max()) or 1.0
    with native_output_dropped():  # HiGHS prints lines of its own now and then, whatever its options say
        result = milp(
            error / scale,
            integrality=np.ones(len(pairs)),
            bounds=Bounds(0, 1),
            constraints=[
                LinearConstraint(one_each.tocsr(), 1, 1),
                LinearConstraint(added[None, :] / whole, -np.inf, room / whole),
            ],
            options={"mip_rel_gap": _GAP, "time_limit": _SECONDS},
        )
    if result.x is None:
        return None, 1.0
    chosen = [
        max(np.flatnonzero(rows == row).tolist(), key=lambda place: float(result.x[place])) for row in genes.values()
    ]
    return chosen, float(result.mip_gap or 0.0)
