"""What a search of bit-widths starts from: uniform levels, allocations by sensitivity, mixes that are known by hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, zip_longest
from typing import NamedTuple

from ..core.genes import GeneValue
from ..core.genome import Genome
from ..core.level_genes import LevelGenes
from ..core.quantization.allocation import allocate
from ..core.quantization.level import Level
from .mixes import MIXES, Mix

BUDGETS = 8


class Start(NamedTuple):
    """A genome that others are compared with, and what it is called: `uniform int4-g128`, `allocation 3.25 bits`..."""

    label: str
    genome: Genome


def starts(
    levels: LevelGenes, merge: Mapping[str, GeneValue], errors: Mapping[str, Mapping[str, float]] | None
) -> list[Start]:
    """Uniform levels, allocations at 8 budgets, and hand mixes, as far as they are legal and keep the budget.

    The three kinds alternate, the largest of each first, so that a short search has some of each.

    Args:
        merge: the genes that are no levels, the same in every start.
        errors: by gene and level, what it is estimated to do; None: nothing is known, so there are no allocations.
    """
    kinds = [_allocations(levels, errors) if errors is not None else [], _uniform(levels), _mixes(levels)]
    in_turn = (one for one in chain.from_iterable(zip_longest(*kinds)) if one is not None)
    found: dict[Genome, str] = {}
    for label, values in in_turn:
        found.setdefault(Genome({**merge, **values}), label)
    return [Start(label, genome) for genome, label in found.items()]


def _uniform(levels: LevelGenes) -> list[tuple[str, Mapping[str, GeneValue]]]:
    made = [(label, levels.uniform(label)) for label in levels.labels]
    fitting = [(label, genome) for label, genome in made if genome is not None and levels.costs.fits(genome)]
    return [(f"uniform {label}", genome) for label, genome in _largest_first(levels, fitting)]


def _allocations(
    levels: LevelGenes, errors: Mapping[str, Mapping[str, float]]
) -> list[tuple[str, Mapping[str, GeneValue]]]:
    costs = levels.costs
    most = costs.fixed + sum(max(options.values()) for options in costs.costs.values())
    top = most if costs.limit is None else min(most, costs.limit)
    found: list[tuple[str, Mapping[str, GeneValue]]] = []
    for part in range(BUDGETS, 0, -1):
        limit = costs.least + (top - costs.least) * part // BUDGETS
        found.append((f"allocation {levels.bits(limit):.2f} bits", allocate(costs, errors, limit).levels))
    return found


def _mixes(levels: LevelGenes) -> list[tuple[str, Mapping[str, GeneValue]]]:
    """Of each mix the largest that keeps the budget; where there is none, half of the way to the largest level."""
    costs = levels.costs
    most = costs.fixed + sum(max(options.values()) for options in costs.costs.values())
    limit = (costs.least + most) // 2 if costs.limit is None else costs.limit
    found: list[tuple[str, Mapping[str, GeneValue]]] = []
    for mix in MIXES:
        made = [(label, values) for label in levels.labels for values in _mixed(levels, mix, label)]
        fitting = [(label, values) for label, values in made if costs.total(values) <= limit]
        found += [(f"{mix.name} on {label}", values) for label, values in _largest_first(levels, fitting)[:1]]
    return found


def _mixed(levels: LevelGenes, mix: Mix, label: str) -> Iterator[Mapping[str, GeneValue]]:
    """The mix with `label` as its lowest level; nothing if it raises none or all."""
    base = levels.uniform(label)
    assert base is not None
    values: dict[str, GeneValue] = {}
    raised = set()
    for gene, groups in levels.members.items():
        steps = [mix.steps(group, levels.layers) for group in groups]
        ladder = _ladder(levels, gene, str(base[gene]))
        step = round(sum(steps) / len(steps))
        values[gene] = ladder[min(step, len(ladder) - 1)]
        raised.add(step > 0 and len(ladder) > 1)
    if raised == {True, False}:
        yield values


def _ladder(levels: LevelGenes, gene: str, label: str) -> list[str]:
    """From a level upwards, one level of each size, all of the same quantiser where there is a choice."""
    costs = levels.costs.costs[gene]
    of = _quantizer(label)
    by_size: dict[int, str] = {}
    for other, cost in sorted(costs.items(), key=lambda pair: (pair[1], _quantizer(pair[0]) != of)):
        if cost > costs[label] and _quantizer(other) in (of, None):
            by_size.setdefault(cost, other)
    return [label, *by_size.values()]


def _quantizer(label: str) -> str | None:
    level = Level.parse(label)
    return level.quantizer if level else None


def _largest_first(
    levels: LevelGenes, made: Iterable[tuple[str, Mapping[str, GeneValue]]]
) -> Sequence[tuple[str, Mapping[str, GeneValue]]]:
    return sorted(made, key=lambda pair: -levels.costs.total(pair[1]))
