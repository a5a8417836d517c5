"""Breadcrumbs: which elements lie between the two thresholds, ties at them, and the sums."""

import math

import pytest
import torch
from heterosis.core.contracts import MergeParameters
from heterosis.plugins.merge.breadcrumbs import Breadcrumbs, BreadcrumbsTies
from hypothesis import given, settings
from hypothesis import strategies as st

DISTINCT = torch.tensor([3.0, -1.0, 8.0, -6.0, 2.0, -10.0, 5.0, 9.0, -4.0, 7.0])


def merge(method, base, sources, weight=1.0, density=1.0, gamma=0.01, **shared):
    own = {"weight": weight, "density": density, "gamma": gamma}
    own = {name: value if isinstance(value, tuple) else (value,) * len(sources) for name, value in own.items()}
    shared = {"normalize": False, "rescale": False, "lambda": 1.0, **shared}
    return method().merge(base, sources, MergeParameters(own, shared))


def crumbs(change, **parameters):
    return merge(Breadcrumbs, torch.zeros_like(change), [change], **parameters)


@pytest.mark.parametrize(
    ("density", "gamma", "kept"),
    [
        (0.5, 0.2, {-4, 5, -6, 7, 8}),
        (0.3, 0.0, {8, 9, -10}),
        (0.8, 0.1, {2, 3, -4, 5, -6, 7, 8, 9}),
        (0.9, 0.5, {-1, 2, 3, -4, 5, -6, 7, 8, 9}),  # fewer outliers go than asked for, so that nine can stay
        (0.5, 1.0, {-1, 2, 3, -4, 5}),
        (1.0, 0.9, {3, -1, 8, -6, 2, -10, 5, 9, -4, 7}),  # at density 1 even outliers stay
        (0.05, 0.0, {0}),
        (0.0, 0.0, {0}),
    ],
)
def test_the_middle_of_the_magnitudes_is_kept(density, gamma, kept):
    assert set(crumbs(DISTINCT, density=density, gamma=gamma).tolist()) - {0} == kept - {0}


@given(
    st.lists(st.floats(-4, 4).filter(lambda value: abs(value) > 1e-30), min_size=1, max_size=40),
    st.floats(0, 1),
    st.floats(0, 1),
)
@settings(deadline=None, max_examples=100)
def test_nothing_larger_than_the_kept_but_outliers_and_nothing_smaller_in_their_place(values, density, gamma):
    change = torch.tensor(values)
    kept = crumbs(change, density=density, gamma=gamma) != 0
    asked = int(density * len(values)) if density < 1 else len(values)
    assert int(kept.sum()) >= asked
    assert bool(kept.any()) == bool(asked)
    inside = change[kept].abs()
    if asked:
        between = (change.abs() >= inside.min()) & (change.abs() <= inside.max())
        assert torch.equal(between, kept)
        assert int((change.abs() > inside.max()).sum()) <= int(gamma * len(values))


def test_elements_tied_at_a_threshold_stay_together():
    assert crumbs(torch.tensor([2.0, -2.0, 2.0, 1.0]), density=0.5, gamma=0).tolist() == [2, -2, 2, 0]
    assert crumbs(torch.tensor([3.0, -3.0, 2.0, 1.0]), density=0.5, gamma=0.25).tolist() == [3, -3, 2, 0]


def test_each_source_has_thresholds_of_its_own_and_the_rest_is_summed():
    sources = [DISTINCT, 100 * DISTINCT]
    found = merge(Breadcrumbs, torch.zeros(10), sources, weight=(2.0, 0.5), density=(0.1, 0.2), gamma=(0.0, 0.1))
    assert found.tolist() == [0, 0, 400, 0, 0, -20, 0, 450, 0, 0]
    halved = merge(
        Breadcrumbs, torch.zeros(10), sources, weight=(2.0, 0.5), density=(0.1, 0.2), gamma=(0.0, 0.1), normalize=True
    )
    assert torch.allclose(halved, found / 2.5)


def test_with_the_elected_sign_what_disagrees_is_left_out():
    sources = [torch.tensor([4.0, 3.0, 2.0, 0.1]), torch.tensor([-3.0, 4.0, -5.0, 0.1])]
    found = merge(BreadcrumbsTies, torch.zeros(4), sources, density=0.75, gamma=0)
    assert found.tolist() == [4, 7, -5, 0]
    assert merge(Breadcrumbs, torch.zeros(4), sources, density=0.75, gamma=0).tolist() == [1, 7, -3, 0]


def test_rescaling_restores_the_l1_norm():
    found = crumbs(DISTINCT, density=0.5, gamma=0.2, rescale=True)
    assert float(found.abs().sum()) == pytest.approx(float(DISTINCT.abs().sum()))
    assert torch.equal(crumbs(torch.zeros(9), density=0.5, rescale=True), torch.zeros(9))


@pytest.mark.parametrize("method", [Breadcrumbs, BreadcrumbsTies])
def test_what_is_prepared_changes_nothing(method):
    base = torch.randn(50, 20, generator=torch.Generator().manual_seed(1))
    sources = [base + torch.randn(50, 20, generator=torch.Generator().manual_seed(seed)) for seed in (2, 3)]
    own = {"weight": (0.5, 0.7), "density": (0.3, 0.6), "gamma": (0.02, 0.1)}
    shared = {"normalize": False, "rescale": True, "lambda": 1.0}
    known = method().prepare(base, sources)
    found = [method().merge(base, sources, MergeParameters(own, shared, prepared=ready)) for ready in (None, known)]
    assert torch.equal(*found)


def test_a_value_that_is_not_a_number_shows_in_the_result():
    assert crumbs(torch.tensor([1.0, math.nan, 2.0, 3.0]), density=0.5).isnan().any()
