"""Hypothesis strategies for gene spaces: floats, integers and categories, fixed and conditional ones among them."""

from __future__ import annotations

from hypothesis import strategies as st

from ..core.gene_space import GeneSpace
from ..core.genes import CategoryGene, Condition, FloatGene, Gene, GeneValue, IntegerGene

_VALUES: list[GeneValue] = ["ties", "slerp", "", True, 2, 0.5]


@st.composite
def gene_spaces(draw: st.DrawFn, most: int = 5) -> GeneSpace:
    """Spaces of 1 to `most` genes; about a third of those that follow a category gene depend on it."""
    genes: list[Gene] = []
    for place in range(draw(st.integers(1, most))):
        genes.append(draw(_genes(f"gene {place}", genes)))
    return GeneSpace(genes)


@st.composite
def _genes(draw: st.DrawFn, name: str, before: list[Gene]) -> Gene:
    switches = [gene for gene in before if isinstance(gene, CategoryGene)]
    condition = None
    if switches and draw(st.integers(0, 2)) == 0:
        switch = draw(st.sampled_from(switches))
        values = draw(st.lists(st.sampled_from(switch.choices), min_size=1, unique=True))
        condition = Condition(switch.name, tuple(values))
    kind = draw(st.sampled_from(["float", "integer", "category"]))
    if kind == "category":
        choices = draw(st.lists(st.sampled_from(_VALUES), min_size=1, max_size=4, unique=True))
        return CategoryGene(name, tuple(choices), condition)
    if kind == "integer":
        low = draw(st.integers(-50, 50))
        return IntegerGene(name, low, low + draw(st.integers(0, 40)), condition)
    start = draw(st.floats(-1e6, 1e6))
    return FloatGene(name, start, start + draw(st.floats(0, 1e6)), condition)
