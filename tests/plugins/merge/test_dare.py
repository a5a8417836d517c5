"""DARE: the share that is kept, its norm, its expectation, and where its chance comes from."""

import pytest
import torch
from heterosis.core.contracts import MergeParameters
from heterosis.plugins.merge.dare import DareLinear, DareTies
from hypothesis import given, settings
from hypothesis import strategies as st

CHANGE = torch.randn(60, 50, generator=torch.Generator().manual_seed(1))


def parameters(count, density, seed=0, **shared):
    own = {"weight": (1.0,) * count, "density": (density,) * count}
    return MergeParameters(own, {"normalize": False, "rescale": True, "lambda": 1.0, **shared}, seed)


def drop(change, density, rescale, seed):
    """What DARE makes of one task vector."""
    return DareLinear().merge(torch.zeros_like(change), [change], parameters(1, density, seed, rescale=rescale))


@given(st.floats(0.01, 0.99), st.integers(0, 2**32 - 1), st.booleans())
@settings(deadline=None, max_examples=50)
def test_what_is_kept_is_a_random_share_scaled_by_one_factor(density, seed, rescale):
    kept = drop(CHANGE, density, rescale, seed)
    share = float((kept != 0).float().mean())
    assert share == pytest.approx(density, abs=6 * (density * (1 - density) / CHANGE.numel()) ** 0.5 + 1e-9)
    factors = (kept / CHANGE)[kept != 0]
    assert torch.allclose(factors, factors[0].expand_as(factors), rtol=1e-4)
    assert float(factors[0]) == pytest.approx(1.0) if not rescale else float(factors[0]) >= 1.0


@given(st.floats(0.05, 1.0), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=50)
def test_rescaling_keeps_the_l1_norm(density, seed):
    kept = drop(CHANGE, density, rescale=True, seed=seed)
    assert float(kept.abs().sum()) == pytest.approx(float(CHANGE.abs().sum()), rel=1e-4)


@pytest.mark.parametrize(("rescale", "factor"), [(True, 1.0), (False, 0.3)])
def test_the_expectation_over_seeds_is_the_change(rescale, factor):
    change = torch.linspace(0.5, 2.0, 40)
    draws = torch.stack([drop(change, 0.3, rescale, seed) for seed in range(4000)])
    error = draws.std(0) / len(draws) ** 0.5
    assert ((draws.mean(0) - factor * change).abs() < 6 * error + (0.02 * change if rescale else 0)).all()


def test_elements_are_dropped_independently_of_each_other_and_of_their_size():
    masks = torch.stack([drop(torch.linspace(0.1, 5, 30), 0.5, False, seed) != 0 for seed in range(2000)]).float()
    together = torch.corrcoef(masks.T) - torch.eye(30)
    assert together.abs().max() < 6 / 2000**0.5
    assert (masks.mean(0) - 0.5).abs().max() < 6 * 0.5 / 2000**0.5


@pytest.mark.parametrize("density", [1.0, 0.0])
def test_at_the_ends_nothing_or_everything_is_dropped(density):
    assert torch.equal(drop(CHANGE, density, True, 3), CHANGE * density)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_every_dtype_draws_the_same_mask(dtype):
    change = CHANGE.to(dtype)
    assert torch.equal(drop(change, 0.4, True, 3) != 0, drop(change.float(), 0.4, True, 3) != 0)


def test_a_tiny_change_is_not_divided_by_nothing():
    assert drop(torch.zeros(10), 0.5, True, 1).abs().sum() == 0
    assert drop(torch.full((1,), 1e-30), 0.001, True, 1).isfinite().all()


@pytest.mark.parametrize("method", [DareLinear, DareTies])
def test_sources_are_thinned_by_masks_of_their_own(method):
    base, source = torch.zeros(1000), torch.ones(1000)
    merged = method().merge(base, [source, source], parameters(2, 0.5, rescale=False))
    counts = [int((merged == number).sum()) for number in (0, 1, 2)]
    assert sum(counts) == 1000
    assert all(abs(count - expected) < 120 for count, expected in zip(counts, (250, 500, 250), strict=True))


@pytest.mark.parametrize("method", [DareLinear, DareTies])
def test_the_mask_follows_the_seed_alone(method):
    base, sources = torch.zeros(200), [CHANGE[0].repeat(4), CHANGE[1].repeat(4)]
    one, again, other = (method().merge(base, sources, parameters(2, 0.5, seed)) for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_dare_ties_leaves_out_what_disagrees():
    base, sources = torch.zeros(1000), [torch.full((1000,), 2.0), torch.full((1000,), -1.0)]
    merged = DareTies().merge(base, sources, parameters(2, 0.5, rescale=False))
    assert set(merged.tolist()) == {2.0, -1.0, 0.0}
    assert set(DareLinear().merge(base, sources, parameters(2, 0.5, rescale=False)).tolist()) == {2.0, 1.0, -1.0, 0.0}
