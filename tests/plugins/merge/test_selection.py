"""The k largest values: exactly k, none larger left out, the first of equals."""

import numpy as np
import pytest
import torch
from heterosis.plugins.merge.selection import largest
from hypothesis import given, settings
from hypothesis import strategies as st


def by_sorting(values: torch.Tensor, k: int) -> torch.Tensor:
    mask = torch.zeros(values.numel(), dtype=torch.bool)
    mask[torch.sort(values, descending=True, stable=True).indices[:k]] = True
    return mask


@settings(max_examples=60, deadline=None)
@given(
    n=st.one_of(st.integers(1, 50), st.integers(65_000, 140_000)),
    share=st.floats(0, 1),
    levels=st.sampled_from([None, 1, 2, 50, 5000]),
    seed=st.integers(0, 2**32 - 1),
)
def test_it_is_what_a_stable_sort_gives(n, share, levels, seed):
    generator = np.random.default_rng(seed)
    drawn = np.abs(generator.standard_normal(n)) if levels is None else generator.integers(0, levels, n) / 7
    values = torch.from_numpy(drawn.astype(np.float32))
    k = max(1, int(share * n))
    assert torch.equal(largest(values, k), by_sorting(values, k))


@pytest.mark.parametrize("order", ["rising", "falling", "one spike"])
def test_a_sample_that_misleads_does_no_harm(order):
    n = 100_000
    values = {
        "rising": torch.arange(n, dtype=torch.float32),
        "falling": torch.arange(n, 0, -1, dtype=torch.float32),
        "one spike": torch.zeros(n).index_fill(0, torch.arange(1, n, 12), 1.0),
    }[order]
    for k in (1, 500, n // 2, n - 1, n):
        assert torch.equal(largest(values, k), by_sorting(values, k))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_every_dtype_is_compared_in_its_own_precision(dtype):
    values = torch.rand(1000, dtype=torch.float64).to(dtype)
    assert torch.equal(largest(values, 300), by_sorting(values, 300))
