"""TIES: what trimming keeps, and the elected sign's sum against the paper's steps written out element by element."""

import pytest
import torch
from heterosis.core.contracts import MergeParameters
from heterosis.plugins.merge.ties import Ties
from hypothesis import given, settings
from hypothesis import strategies as st

DTYPES = st.sampled_from([torch.float32, torch.bfloat16, torch.float64])
DENSITIES = st.one_of(st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.7, 1.0, 1e-9]), st.floats(0, 1))
TIED = st.lists(st.sampled_from([-2.0, -1.0, 1.0, 2.0, 0.5]), min_size=1, max_size=40)
SPREAD = st.lists(st.floats(-4, 4).filter(lambda value: abs(value) > 1e-30), min_size=1, max_size=40)
CHANGES = st.lists(st.floats(-2, 2, width=16), min_size=4, max_size=4)


def trim(change, density):
    """What TIES makes of one task vector."""
    shared = {"normalize": False, "rescale": False, "lambda": 1.0}
    parameters = MergeParameters({"weight": (1.0,), "density": (density,)}, shared)
    return Ties().merge(torch.zeros_like(change), [change], parameters)


@given(st.one_of(TIED, SPREAD), DENSITIES, DTYPES)
@settings(deadline=None, max_examples=50)
def test_trim_keeps_the_asked_share_and_it_is_the_largest(values, density, dtype):
    change = torch.tensor(values).to(dtype)
    kept = trim(change, density)
    share = 0 if density == 0 else max(1, int(density * len(values)))
    assert kept.dtype == dtype
    assert torch.equal(kept[kept != 0], change[kept != 0])
    if share == 0:
        assert not kept.any()
        return
    smallest = change[kept != 0].abs().min()
    above, at_least = int((change.abs() > smallest).sum()), int((change.abs() >= smallest).sum())
    assert above < share <= at_least == int((kept != 0).sum())


@given(TIED, DENSITIES)
@settings(deadline=None, max_examples=50)
def test_equals_are_kept_or_dropped_together(values, density):
    change = torch.tensor(values)
    kept = trim(change, density) != 0
    for level in set(map(abs, values)):
        assert len(set(kept[change.abs() == level].tolist())) == 1


@given(st.lists(st.sampled_from([0.0, 1.0, -3.0]), min_size=1, max_size=12), DENSITIES)
@settings(deadline=None, max_examples=50)
def test_zeros_do_not_take_the_place_of_what_is_larger(values, density):
    change = torch.tensor(values)
    kept = trim(change, density)
    share = 0 if density == 0 else max(1, int(density * len(values)))
    if share:
        threshold = change.abs().sort(descending=True).values[share - 1]
        assert torch.equal(kept, change * (change.abs() >= threshold))


def test_trim_works_on_any_shape_and_leaves_its_input():
    change = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(1))
    before = change.clone()
    kept = trim(change.permute(2, 0, 1), 0.25)
    assert kept.shape == (5, 3, 4)
    assert int((kept != 0).sum()) == 15
    assert torch.equal(change, before)
    assert trim(torch.zeros(0, 4), 0.5).shape == (0, 4)


def by_the_paper(base, sources, weights, densities, normalize, factor):
    """Yadav et al. (2023), section 3, with a weight of each model: trim, elect sign, disjoint merge."""
    count = len(base)
    trimmed = []
    for source, density in zip(sources, densities, strict=True):
        change = [x - b for x, b in zip(source, base, strict=True)]
        keep = 0 if density == 0 else count if density >= 1 else max(1, int(density * count))
        threshold = sorted(map(abs, change), reverse=True)[keep - 1] if keep else float("inf")
        trimmed.append([value if abs(value) >= threshold else 0.0 for value in change])
    merged = []
    for index in range(count):
        values = [(weight * change[index], weight) for weight, change in zip(weights, trimmed, strict=True)]
        positive = sum(value for value, _ in values) >= 0
        agreeing = [(value, weight) for value, weight in values if (value > 0 if positive else value < 0)]
        total, divisor = sum(value for value, _ in agreeing), sum(weight for _, weight in agreeing)
        merged.append(base[index] + factor * (total / divisor if normalize and divisor != 0 else total))
    return torch.tensor(merged, dtype=torch.float64)


@given(
    base=CHANGES,
    sources=st.lists(CHANGES, min_size=1, max_size=4),
    weight=st.lists(st.sampled_from([-0.5, 0.25, 0.5, 1.0, 1.5]), min_size=4, max_size=4),
    density=st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), min_size=4, max_size=4),
    normalize=st.booleans(),
    factor=st.sampled_from([1.0, 0.5, -2.0]),
)
@settings(deadline=None, max_examples=100)
def test_the_merge_is_the_papers(base, sources, weight, density, normalize, factor):
    count = len(sources)
    weights, densities = tuple(weight[:count]), tuple(density[:count])
    shared = {"normalize": normalize, "rescale": False, "lambda": factor}
    parameters = MergeParameters({"weight": weights, "density": densities}, shared)
    tensors = [torch.tensor(source, dtype=torch.float64) for source in sources]
    found = Ties().merge(torch.tensor(base, dtype=torch.float64), tensors, parameters)
    expected = by_the_paper(base, sources, weights, densities, normalize, factor)
    assert torch.allclose(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("normalize", [True, False])
def test_sources_that_disagree_do_not_water_each_other_down(normalize):
    parameters = MergeParameters(
        {"weight": (1.0, 1.0, 1.0), "density": (1.0, 1.0, 1.0)},
        {"normalize": normalize, "rescale": False, "lambda": 1.0},
    )
    sources = [torch.tensor([2.0]), torch.tensor([4.0]), torch.tensor([-3.0])]
    merged = Ties().merge(torch.tensor([0.0]), sources, parameters)
    assert merged.item() == (3.0 if normalize else 6.0)


def test_where_the_sources_cancel_the_sign_is_positive():
    parameters = MergeParameters(
        {"weight": (1.0, 1.0), "density": (1.0, 1.0)}, {"normalize": True, "rescale": False, "lambda": 1.0}
    )
    merged = Ties().merge(torch.zeros(2), [torch.tensor([2.0, -3.0]), torch.tensor([-2.0, 3.0])], parameters)
    assert merged.tolist() == [2.0, 3.0]


def test_double_precision_tells_apart_what_single_precision_cannot():
    change = torch.tensor([1.0, 1.0 + 1e-12, 1.0 + 2e-12, 1.0 + 3e-12], dtype=torch.float64)
    assert torch.equal(trim(change, 0.5) != 0, torch.tensor([False, False, True, True]))
