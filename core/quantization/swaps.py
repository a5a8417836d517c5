"""Level swaps: one group of weights gets a larger level, others smaller ones, and the model takes as much as before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..genes import GeneValue
from .budget import LevelCosts

_ACROSS = 0.25
"""How often what is raised is paid for by groups of any size: without it, no bits would ever move between kinds."""
_SIDEWAYS = 0.25
"""How often, where there is a choice, a level is replaced by another that takes the same (another quantiser)."""


def swapped(costs: LevelCosts, values: Mapping[str, GeneValue], random: np.random.Generator) -> dict[str, str]:
    """One small change of levels that keeps the limit, if `values` does (Sieberling et al., EvoPress, 2024).

    With a limit, a level is raised, and if there is no room for it, others are lowered: mostly among groups of the same
    size, so that the bytes stay exactly the same. Without one, any level may go up or down.

    Returns:
        The new levels of the genes that change; empty if nothing can.
    """
    names = [gene for gene, levels in costs.costs.items() if len(levels) > 1]
    order = [names[place] for place in random.permutation(len(names))]
    if random.random() < _SIDEWAYS and (found := _sideways(costs, values, order, random)):
        return found
    if costs.limit is None:
        return _step(costs, values, order, random)
    across = bool(random.random() < _ACROSS)
    for gene in order:
        found = _raised(costs, values, gene, order, across, random) or _exchanged(costs, values, gene, order)
        if found:
            return found
    return _sideways(costs, values, order, random)


def _sideways(
    costs: LevelCosts, values: Mapping[str, GeneValue], order: Sequence[str], random: np.random.Generator
) -> dict[str, str]:
    for gene in order:
        levels, now = costs.costs[gene], str(values[gene])
        others = [level for level, cost in levels.items() if cost == levels[now] and level != now]
        if others:
            return {gene: others[int(random.integers(len(others)))]}
    return {}


def _step(
    costs: LevelCosts, values: Mapping[str, GeneValue], order: Sequence[str], random: np.random.Generator
) -> dict[str, str]:
    for gene in order:
        ways = [_next(costs, gene, str(values[gene]), up, random) for up in (True, False)]
        open_ways = [way for way in ways if way is not None]
        if open_ways:
            return {gene: open_ways[int(random.integers(len(open_ways)))]}
    return {}


def _raised(
    costs: LevelCosts,
    values: Mapping[str, GeneValue],
    gene: str,
    order: Sequence[str],
    across: bool,
    random: np.random.Generator,
) -> dict[str, str]:
    """The gene a step higher, and others lower until it fits; empty if that cannot be done."""
    higher = _next(costs, gene, str(values[gene]), True, random)
    if higher is None:
        return {}
    assert costs.limit is not None
    levels = costs.costs[gene]
    missing = levels[higher] - levels[str(values[gene])] - (costs.limit - costs.total(values))
    found = {gene: higher}
    if missing <= 0:
        return found
    exactly = levels[higher] - levels[str(values[gene])]
    payers = [one for one in order if one != gene and (across or costs.costs[one] == levels)]
    for payer in payers * max(len(levels) for levels in costs.costs.values()):
        now = found.get(payer, str(values[payer]))
        lower = _next(costs, payer, now, False, random)
        if lower is None:
            continue
        freed = costs.costs[payer][now] - costs.costs[payer][lower]
        if not across and freed > exactly:
            continue
        found[payer] = lower
        missing -= freed
        exactly -= freed
        if not across and exactly == 0:
            return found
        if across and missing <= 0:
            return _filled(costs, values, found, order, -missing, random)
    return {}


def _filled(
    costs: LevelCosts,
    values: Mapping[str, GeneValue],
    found: dict[str, str],
    order: Sequence[str],
    left: int,
    random: np.random.Generator,
) -> dict[str, str]:
    """What was freed in excess goes to others that were not lowered, in steps that fit."""
    for gene in order if left else ():
        if gene in found:
            continue
        higher = _next(costs, gene, str(values[gene]), True, random)
        step = 0 if higher is None else costs.costs[gene][higher] - costs.costs[gene][str(values[gene])]
        if higher is not None and step <= left:
            found[gene] = higher
            left -= step
    return found


def _exchanged(costs: LevelCosts, values: Mapping[str, GeneValue], gene: str, order: Sequence[str]) -> dict[str, str]:
    """The gene's level and a higher one of a group of the same size, the other way round; empty if there is none."""
    levels, now = costs.costs[gene], str(values[gene])
    for other in order:
        if costs.costs[other] == levels and levels[str(values[other])] > levels[now]:
            return {gene: str(values[other]), other: now}
    return {}


def _next(costs: LevelCosts, gene: str, now: str, up: bool, random: np.random.Generator) -> str | None:
    """One of the levels of the next larger, or smaller, size."""
    levels = costs.costs[gene]
    sizes = [cost for cost in levels.values() if (cost > levels[now] if up else cost < levels[now])]
    if not sizes:
        return None
    size = min(sizes) if up else max(sizes)
    found = [level for level, cost in levels.items() if cost == size]
    return found[int(random.integers(len(found)))]
