"""The median keeps the contract of merge methods, and is a median."""

import pytest
import torch
from heterosis.core.contracts import MergeParameters
from heterosis.testing.merge_methods import check_merge_method
from heterosis_example_plugin.median import Median


def merge(values, base=0.0, scale=1.0):
    sources = [torch.tensor([value]) for value in values]
    return Median().merge(torch.tensor([base]), sources, MergeParameters({}, {"scale": scale})).item()


def test_it_keeps_its_contract():
    check_merge_method("median")


@pytest.mark.parametrize(
    ("values", "median"), [([3, 1, 2], 2.0), ([1, 4], 2.5), ([9, 1, 2, 4], 3.0), ([1, 2, 1e9], 2.0), ([-5, 0, 7], 0.0)]
)
def test_it_is_the_middle_of_the_sources(values, median):
    assert merge(values) == median


def test_it_scales_the_change_not_the_model():
    assert merge([12.0, 14.0, 20.0], base=10.0, scale=0.5) == 12.0
