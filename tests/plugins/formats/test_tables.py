"""Counting bounds and looking up codes, beside torch's own ways."""

import torch
from heterosis.plugins.formats.tables import count_below, look_up
from hypothesis import given, settings
from hypothesis import strategies as st

FLOATS = st.floats(-4, 4, width=32)


@given(st.lists(FLOATS, max_size=50), st.lists(FLOATS, min_size=1, max_size=15).map(sorted))
@settings(max_examples=50, deadline=None)
def test_counts_are_bucketizes(numbers, bounds):
    numbers = torch.tensor([*numbers, *bounds])
    assert torch.equal(count_below(numbers, bounds).int(), torch.bucketize(numbers, torch.tensor(bounds)).int())


def test_large_matrices_and_views_keep_their_shape():
    numbers = torch.randn(400, 300, generator=torch.Generator().manual_seed(0)).T
    bounds = [-1.0, 0.0, 1.0]
    assert torch.equal(count_below(numbers, bounds).int(), torch.bucketize(numbers, torch.tensor(bounds)).int())
    assert count_below(torch.empty(0, 3), bounds).shape == (0, 3)


def test_codes_become_entries():
    codes = torch.tensor([[3, 0], [1, 3]], dtype=torch.uint8).T
    assert look_up(torch.tensor([5.0, 6.0, 7.0, 8.0]), codes).tolist() == [[8.0, 6.0], [5.0, 8.0]]
