"""The k-th largest magnitude of a task vector, told from what was sorted once, against sorting it again."""

import numpy as np
import pytest
import torch
from heterosis.plugins.merge import magnitudes as module
from heterosis.plugins.merge.magnitudes import Magnitudes
from hypothesis import given, settings
from hypothesis import strategies as st


def by_sorting(base, source, k):
    work = torch.float64 if base.dtype == torch.float64 else torch.float32
    return float((source.to(work) - base.to(work)).abs().view(-1).sort(descending=True).values[k - 1])


@settings(max_examples=60, deadline=None)
@given(
    n=st.one_of(st.integers(1, 50), st.integers(20_000, 60_000)),
    share=st.floats(0, 1),
    kinds=st.sampled_from([None, 1, 2, 50, 9000]),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float16, torch.float64]),
    seed=st.integers(0, 2**32 - 1),
)
def test_it_is_what_sorting_gives(n, share, kinds, dtype, seed):
    generator = np.random.default_rng(seed)
    drawn = generator.standard_normal(n) if kinds is None else generator.integers(0, kinds, n) / 7
    base, source = torch.from_numpy(generator.standard_normal(n)).to(dtype), torch.from_numpy(drawn).to(dtype)
    k = max(1, int(share * n))
    assert Magnitudes.of(base, source).kth_largest(k, base, source) == by_sorting(base, source, k)


def test_few_different_magnitudes_need_no_second_look(monkeypatch):
    base = torch.zeros(200_000)
    source = torch.randint(0, 3000, (200_000,), generator=torch.Generator().manual_seed(1)).float()
    known = Magnitudes.of(base, source)
    monkeypatch.setattr(module.kernels, "magnitudes_between", lambda *_: pytest.fail("looked again"))
    for k in (1, 10, 77_777, 200_000):
        assert known.kth_largest(k, base, source) == by_sorting(base, source, k)


def test_what_is_kept_is_small_beside_the_tensor():
    base = torch.zeros(1_000_000)
    known = Magnitudes.of(base, torch.randn(1_000_000))
    assert known.at_least.size <= 2 * module._LEVELS


def test_a_nan_is_a_magnitude_above_all_others():
    source = torch.tensor([1.0, float("nan"), 3.0])
    known = Magnitudes.of(torch.zeros(3), source)
    assert np.isnan(known.kth_largest(1, torch.zeros(3), source))
    assert known.kth_largest(2, torch.zeros(3), source) == 3.0
