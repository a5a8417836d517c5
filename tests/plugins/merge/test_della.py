"""DELLA: probabilities that rise with the rank in the row, the norm that is restored, where the chance comes from."""

import math

import pytest
import torch
from heterosis.core.contracts import MergeParameters
from heterosis.plugins.merge.della import Della, DellaLinear, kept_by_rank
from hypothesis import given, settings
from hypothesis import strategies as st

CHANGE = torch.randn(40, 50, generator=torch.Generator().manual_seed(1))


def merge(method, base, sources, weight=1.0, density=0.5, epsilon=0.15, seed=0, **shared):
    own = {name: (value,) * len(sources) for name, value in (("density", density), ("epsilon", epsilon))}
    weights = weight if isinstance(weight, tuple) else (weight,) * len(sources)
    shared = {"normalize": False, "rescale": True, "lambda": 1.0, **shared}
    return method().merge(base, sources, MergeParameters({"weight": weights, **own}, shared, seed))


def share_kept(change, density, epsilon, seeds=2000):
    return torch.stack([kept_by_rank(change, density, epsilon, seed) for seed in range(seeds)]).double().mean(0)


def test_the_probability_rises_evenly_with_the_rank_of_the_magnitude():
    change = torch.tensor([0.1, -5.0, 3.0, 0.2, -0.3])
    expected = torch.tensor([0.3, 0.7, 0.6, 0.4, 0.5], dtype=torch.float64)
    assert (share_kept(change, 0.5, 0.2) - expected).abs().max() < 6 * 0.5 / 2000**0.5


def test_ranks_are_taken_within_each_row():
    change = torch.tensor([[1.0, 2.0], [200.0, 100.0]])
    expected = torch.tensor([[0.2, 0.6], [0.6, 0.2]], dtype=torch.float64)
    assert (share_kept(change, 0.4, 0.2) - expected).abs().max() < 6 * 0.5 / 2000**0.5


def test_a_column_has_no_ranks_so_every_element_has_the_density():
    found = share_kept(torch.tensor([[1.0], [5.0], [9.0]]), 0.4, 0.2)
    assert (found - 0.4).abs().max() < 6 * 0.5 / 2000**0.5


@given(st.floats(0, 1), st.floats(0, 0.5), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=50)
def test_the_share_kept_is_the_density_whatever_the_epsilon(density, epsilon, seed):
    share = float(kept_by_rank(CHANGE, density, epsilon, seed).double().mean())
    assert share == pytest.approx(density, abs=6 * (density * (1 - density) / CHANGE.numel()) ** 0.5 + 1e-9)


@pytest.mark.parametrize("method", [Della, DellaLinear])
def test_at_the_ends_everything_or_nothing_is_kept(method):
    base = torch.ones(40, 50)
    assert torch.allclose(merge(method, base, [base + CHANGE], density=1.0), base + CHANGE)
    assert torch.equal(merge(method, base, [base + CHANGE], density=0.0), base)


@given(st.floats(0.05, 1), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=30)
def test_rescaling_restores_the_l1_norm(density, seed):
    found = merge(DellaLinear, torch.zeros(40, 50), [CHANGE], density=density, seed=seed)
    assert float(found.abs().sum()) == pytest.approx(float(CHANGE.abs().sum()), rel=1e-4)


def test_without_rescaling_what_is_kept_stays_as_it_is():
    found = merge(DellaLinear, torch.zeros(40, 50), [CHANGE], rescale=False)
    assert torch.equal(found[found != 0], CHANGE[found != 0])


def test_sources_are_thinned_apart_and_follow_the_seed():
    one, again, other = (merge(DellaLinear, torch.zeros(40, 50), [CHANGE, CHANGE], seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    counts = merge(DellaLinear, torch.zeros(1000), [torch.ones(1000)] * 2, epsilon=0.0, rescale=False)
    assert set(counts.tolist()) == {0.0, 1.0, 2.0}


def test_della_counts_what_agrees_with_the_elected_sign_and_takes_its_mean():
    sources = [torch.tensor([4.0, 3.0]), torch.tensor([-3.0, 5.0])]
    assert merge(Della, torch.zeros(2), sources, density=1.0, normalize=True).tolist() == [4, 4]
    assert merge(DellaLinear, torch.zeros(2), sources, density=1.0, normalize=False).tolist() == [1, 8]


def test_the_draw_is_the_same_in_every_dtype():
    coarse = CHANGE.bfloat16()
    kept = [kept_by_rank(change, 0.4, 0.1, 3) for change in (coarse, coarse.float(), coarse.double())]
    assert torch.equal(kept[0], kept[1])
    assert torch.equal(kept[1], kept[2])


@pytest.mark.parametrize("method", [Della, DellaLinear])
def test_what_does_not_change_gives_the_base_and_what_is_not_a_number_shows(method):
    base = torch.ones(3, 4)
    assert torch.equal(merge(method, base, [base, base]), base)
    broken = base.clone()
    broken[1, 2] = math.nan
    assert merge(method, base, [broken], density=0.99, seed=1).isnan().any()
