"""The Fisher-weighted mean: important weights pull, unimportant ones yield."""

import torch
from heterosis.core.contracts import MergeParameters
from heterosis.plugins.merge.fisher import Fisher
from heterosis.testing.merge_methods import check_merge_method
from hypothesis import given, settings
from hypothesis import strategies as st


def merge(sources, importances=(), weights=None):
    weights = tuple(weights or [1.0] * len(sources))
    return Fisher().merge(None, sources, MergeParameters({"weight": weights}, {}, statistics=tuple(importances)))


def example(seed, count=2, shape=(4, 6)):
    generator = torch.Generator().manual_seed(seed)
    sources = [torch.randn(shape, generator=generator) for _ in range(count)]
    return sources, [torch.rand(shape, generator=generator) * 1e-7 + 1e-12 for _ in range(count)]


def test_each_element_is_the_mean_by_importance_and_weight():
    sources, importances = example(0)
    left, right = importances[0].double() * 0.3, importances[1].double()
    expected = (left * sources[0] + right * sources[1]) / (left + right)
    torch.testing.assert_close(merge(sources, importances, [0.3, 1.0]).double(), expected, rtol=1e-3, atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(1e-20, 1e6))
def test_only_ratios_of_importances_count(seed, scale):
    sources, importances = example(seed)
    scaled = [importance * scale for importance in importances]
    torch.testing.assert_close(merge(sources, scaled), merge(sources, importances), rtol=1e-3, atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.01, 3))
def test_equal_importances_none_and_zeros_give_the_weighted_mean(seed, weight):
    sources, importances = example(seed)
    expected = (sources[0] * weight + sources[1]) / (weight + 1)
    for given_importances in ([importances[0]] * 2, [], [torch.zeros_like(importances[0])] * 2):
        torch.testing.assert_close(merge(sources, given_importances, [weight, 1.0]), expected, rtol=1e-4, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.permutations(range(3)))
def test_one_source_equal_sources_and_another_order(seed, order):
    sources, importances = example(seed, 3)
    torch.testing.assert_close(merge(sources[:1], importances[:1], [0.7]), sources[0])
    torch.testing.assert_close(merge([sources[0]] * 3, importances), sources[0])
    turned = merge(*([part[number] for number in order] for part in (sources, importances, (0.2, 0.5, 0.9))))
    torch.testing.assert_close(turned, merge(sources, importances, [0.2, 0.5, 0.9]), rtol=1e-4, atol=1e-5)


def test_what_matters_to_one_source_alone_is_taken_from_it():
    sources, _ = example(1)
    first = torch.zeros(4, 6)
    first[0] = 1e-8
    merged = merge(sources, [first, torch.full((4, 6), 1e-20)])
    torch.testing.assert_close(merged[0], sources[0][0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(merged[1:], (sources[0] + sources[1])[1:] / 2)


def test_half_precision_is_computed_in_float32():
    sources, importances = example(2)
    half = [source.bfloat16() for source in sources]
    merged = merge(half, importances)
    assert merged.dtype == torch.bfloat16
    assert torch.equal(merged, merge([source.float() for source in half], importances).bfloat16())


def test_weights_of_zero_alone_give_nothing_finite():
    sources, importances = example(3)
    assert not merge(sources, importances, [0.0, 0.0]).isfinite().any()


def test_it_keeps_the_contract_with_statistics_too():
    check_merge_method("fisher", statistics=lambda source: source.float().square())
