"""RegMean: the least squared error to the sources' outputs, and the mean where nothing is known."""

import pytest
import torch
from heterosis.core.contracts import MergeParameters
from heterosis.plugins.merge.regmean import RegMean
from heterosis.testing.merge_methods import check_merge_method
from hypothesis import given, settings
from hypothesis import strategies as st


def merge(sources, grams=(), weights=None, alpha=1.0):
    weights = tuple(weights or [1.0] * len(sources))
    return RegMean().merge(
        None, sources, MergeParameters({"weight": weights}, {"alpha": alpha}, statistics=tuple(grams))
    )


def example(seed, count=2, out=5, size=7, tokens=200):
    """Weights (out x size) of `count` layers, and the inputs each was seen to have, correlated and of uneven scales."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(count, size, size, generator=generator) * torch.logspace(-2, 1, size)
    weights = [torch.randn(out, size, generator=generator) for _ in range(count)]
    return weights, [torch.randn(tokens, size, generator=generator) @ mixing[number] for number in range(count)]


def gram_of(inputs):
    return inputs.T @ inputs / len(inputs)


def error_of(merged, weights, inputs):
    return sum(
        float((x.double() @ (merged.double() - weight).T).square().mean(0).sum())
        for weight, x in zip(weights, inputs, strict=True)
    )


def least_squares(weights, inputs):
    seen = torch.cat(inputs).double()
    wanted = torch.cat([x.double() @ weight.double().T for weight, x in zip(weights, inputs, strict=True)])
    return torch.linalg.lstsq(seen, wanted, driver="gelsd").solution.T


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_it_minimises_the_squared_error_of_the_outputs(seed, count):
    weights, inputs = example(seed, count)
    best = error_of(least_squares(weights, inputs), weights, inputs)
    merged = merge(weights, map(gram_of, inputs))
    mean = sum(weights) / count
    assert best <= error_of(merged, weights, inputs) * (1 + 1e-9)
    assert error_of(merged, weights, inputs) <= best * 1.001
    assert best * 1.2 < error_of(mean, weights, inputs)


def test_weights_count_as_that_many_inputs():
    weights, inputs = example(1)
    tripled = merge(weights, [gram_of(inputs[0]) * 3, gram_of(inputs[1])], alpha=0.7)
    torch.testing.assert_close(
        merge(weights, map(gram_of, inputs), [0.75, 0.25], alpha=0.7), tripled, rtol=1e-4, atol=1e-3
    )


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 1), st.floats(0.01, 3))
def test_one_source_and_equal_sources_give_themselves_bit_for_bit(seed, alpha, weight):
    (first, _), inputs = example(seed)
    grams = [gram_of(x) for x in inputs]
    assert torch.equal(merge([first], grams[:1], [weight], alpha), first)
    torch.testing.assert_close(merge([first] * 2, grams, [weight, 1.0], alpha), first, rtol=1e-6, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 0.95), st.permutations(range(3)))
def test_the_order_of_the_sources_does_not_count(seed, alpha, order):
    weights, inputs = example(seed, 3)
    grams, shares = [gram_of(x) for x in inputs], [0.2, 0.5, 0.9]
    turned = merge(*([part[number] for number in order] for part in (weights, grams, shares)), alpha)
    torch.testing.assert_close(turned, merge(weights, grams, shares, alpha), rtol=1e-3, atol=1e-3)


def test_at_alpha_zero_each_feature_counts_by_its_mean_square():
    weights, inputs = example(2)
    power = [gram_of(x).diagonal() for x in inputs]
    expected = (weights[0] * power[0] + weights[1] * power[1]) / (power[0] + power[1])
    torch.testing.assert_close(merge(weights, map(gram_of, inputs), alpha=0.0), expected, rtol=1e-4, atol=1e-5)


def test_alpha_scales_what_is_off_the_diagonal():
    weights, inputs = example(3)
    grams = [gram_of(x).double() for x in inputs]
    shrunk = [gram * 0.6 + torch.diag(gram.diagonal()) * 0.4 for gram in grams]
    expected = torch.linalg.solve(
        sum(shrunk), sum(gram @ weight.double().T for gram, weight in zip(shrunk, weights, strict=True))
    ).T
    torch.testing.assert_close(merge(weights, grams, alpha=0.6).double(), expected, rtol=1e-4, atol=1e-4)


def test_features_that_were_never_seen_keep_the_mean():
    weights, inputs = example(4)
    for x in inputs:
        x[:, 3] = 0
    merged = merge(weights, map(gram_of, inputs))
    assert torch.equal(merged[:, 3], (weights[0] / 2 + weights[1] / 2)[:, 3])


def test_fewer_inputs_than_features_are_met_without_going_far():
    weights, inputs = example(4)
    mean = sum(weights) / 2
    few = [x[:2] for x in inputs]
    merged = merge(weights, map(gram_of, few))
    assert error_of(merged, weights, few) < 1e-3 * error_of(mean, weights, few)
    scale = torch.cat(few).square().mean(0).sqrt()
    assert ((merged - mean) * scale).norm() < 3 * ((weights[0] - mean) * scale).norm()


def test_statistics_that_rounding_made_indefinite_still_give_something_finite():
    weights, _ = example(5, size=2)
    grams = [torch.tensor([[1.0, 1.001], [1.001, 1.0]])] * 2
    torch.testing.assert_close(merge(weights, grams), sum(weights) / 2)
    assert merge(weights, [grams[0], torch.eye(2) * 1e-9]).isfinite().all()


def test_without_statistics_it_is_the_weighted_mean_as_a_form():
    weights, _ = example(6)
    parameters = MergeParameters({"weight": (1.0, 3.0)}, {"alpha": 0.9})
    expected = weights[0] * 0.25 + weights[1] * 0.75
    torch.testing.assert_close(merge(weights, weights=[1.0, 3.0]), expected)
    form = RegMean().form(None, weights, parameters)
    torch.testing.assert_close(form.apply(None, weights), expected)


def test_weights_of_zero_alone_give_nothing_finite():
    weights, inputs = example(7)
    assert not merge(weights, map(gram_of, inputs), [0.0, 0.0]).isfinite().any()


def test_half_precision_is_computed_in_float32():
    weights, inputs = example(8)
    grams = [gram_of(x) for x in inputs]
    half = [weight.bfloat16() for weight in weights]
    merged = merge(half, grams, alpha=0.9)
    assert merged.dtype == torch.bfloat16
    assert torch.equal(merged, merge([weight.float() for weight in half], grams, alpha=0.9).bfloat16())


def test_it_keeps_the_contract_with_statistics_too():
    def gram(source):
        inputs = source.float().roll(1, 0) if source.dim() == 2 else None
        return None if inputs is None else gram_of(inputs) + 0.1 * torch.eye(source.shape[1])

    check_merge_method("regmean", statistics=gram)
