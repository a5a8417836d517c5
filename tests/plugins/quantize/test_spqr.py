"""SpQR: few weights kept apart, within the bytes that were promised, make the rest cheaper to round."""

from __future__ import annotations

import pytest
import torch
from heterosis.core.contracts import Calibration
from heterosis.core.errors import ConfigurationError, MaterialiseError
from heterosis.core.quantization.level import Level, format_of
from heterosis.plugins.formats.spqr import SpqrFormat
from heterosis.plugins.quantize.column_rounding import in_order, order_of, proxy_loss, round_columns
from heterosis.plugins.quantize.gptq import gptq
from heterosis.plugins.quantize.spqr import Spqr
from heterosis.plugins.quantize.spqr_outliers import KeepingOutliers, without_outliers
from hypothesis import given, settings
from hypothesis import strategies as st

OPTIONS = Spqr.options


def draw(outputs, inputs, seed=0, planted=0):
    """A bfloat16 weight, some of its elements far out, and the second moments of correlated inputs."""
    random = torch.Generator().manual_seed(seed)
    weight = torch.randn(outputs, inputs, generator=random) / inputs**0.5
    places = torch.randperm(weight.numel(), generator=random)[:planted]
    weight.view(-1)[places] += torch.where(torch.rand(planted, generator=random) < 0.5, -1.0, 1.0)
    rows = torch.randn(4 * inputs, inputs, generator=random) @ torch.randn(inputs, inputs, generator=random)
    return weight.bfloat16(), rows.T @ rows / len(rows), places


def quantised(weight, label, gram, **options):
    return Spqr().quantize(weight, format_of(label), Calibration(gram), {**OPTIONS, **options})


def loss(weight, quantized, gram):
    return proxy_loss(weight, quantized.dequantize(torch.float32), gram)


def places_of(found):
    offsets = found.parts["outlier_offsets"]
    rows = torch.repeat_interleave(torch.arange(len(offsets) - 1), offsets.diff())
    return rows * found.shape[1] + found.parts["outlier_columns"]


def test_planted_outliers_are_found_and_kept():
    weight, gram, planted = draw(64, 64, planted=20)
    in_all_columns_alike = quantised(weight, "spqr-3b", torch.eye(64))
    assert set(planted.tolist()) <= set(places_of(in_all_columns_alike).tolist())
    found = quantised(weight, "spqr-3b", gram)
    as_many_bits = gptq(weight.float(), format_of("int3-g16"), gram)
    assert loss(weight, found, gram) < loss(weight, as_many_bits, gram) / 2
    assert found.format.bits(found.shape) < as_many_bits.format.bits(found.shape) + 0.5


def test_outliers_have_the_values_that_were_kept():
    weight, gram, _ = draw(48, 64, planted=10)
    found = quantised(weight, "spqr-4b", gram)
    rebuilt = found.dequantize(torch.float32).flatten()
    assert torch.equal(rebuilt[places_of(found)], found.parts["outlier_values"].float())
    first = quantised(weight, "spqr-4b", torch.eye(64))
    at = places_of(first)
    assert torch.equal(first.dequantize(torch.bfloat16).flatten()[at], weight.flatten()[at])


@settings(deadline=None, max_examples=30)
@given(
    outputs=st.integers(1, 40),
    groups=st.integers(1, 5),
    share=st.sampled_from([0, 0.3, 1, 7.5, 100]),
    threshold=st.sampled_from([0.0, 0.05, 0.2, 100.0]),
    seed=st.integers(0, 99),
)
def test_there_are_never_more_than_there_is_room_for(outputs, groups, share, threshold, seed):
    weight, gram, _ = draw(outputs, 16 * groups, seed, planted=outputs // 4)
    found = quantised(weight, f"spqr-2b-o{share}", gram, threshold=threshold)
    count = len(found.parts.get("outlier_values", ()))
    assert count <= found.format.most_outliers(found.shape) == int(outputs * 16 * groups * share / 100 + 1e-9)
    assert found.dequantize(torch.float32).isfinite().all()
    used = _bits(found.parts, found.codes, 2)
    assert used <= 8 * found.nbytes
    if count == found.format.most_outliers(found.shape):
        assert 8 * found.nbytes - used < 3 * 8  # of codes that do not fill a byte


def _bits(parts, codes, width):
    bits = codes.numel() * width
    for name, part in parts.items():
        if name.endswith("_codes"):
            bits += 3 * part.numel()
        elif name == "outlier_columns":
            bits += 16 * part.numel()
        else:
            bits += 8 * part.nbytes
    return bits


def test_without_outliers_and_without_correlation_it_is_plain_rounding():
    weight, _, _ = draw(24, 64)
    format_ = format_of("spqr-3b-o0")
    plain = format_.encode(format_.fit(weight.float()), weight.float())
    found = quantised(weight, "spqr-3b-o0", torch.eye(64))
    assert torch.equal(found.codes, plain.codes)
    assert found.parts.keys() == plain.parts.keys()
    assert all(torch.equal(found.parts[name], part) for name, part in plain.parts.items())


def test_scales_in_three_bits_are_close_to_what_they_should_be():
    weight, _, _ = draw(40, 64)
    groups = weight.float().unflatten(1, (-1, 16))
    low, high = groups.amin(-1).clamp_max(0), groups.amax(-1).clamp_min(0)
    grid = format_of("spqr-8b-o0").fit(weight.float())
    scale = (grid.values(torch.ones(40, 64)) - grid.values(torch.zeros(40, 64)))[:, ::16]
    wanted = (high - low) / 255
    blocks = torch.arange(40) // 16
    for block in range(3):
        spread = wanted[blocks == block].amax(0) - wanted[blocks == block].amin(0)
        assert ((scale - wanted)[blocks == block].abs() <= spread / 7 / 2 + 0.01 * wanted[blocks == block]).all()


def test_leaving_one_out_is_tried_for_every_weight():
    """Against the definition: the group's error with all weights, less the error of the others on their own scale."""
    random = torch.Generator().manual_seed(3)
    weight, costs = torch.randn(5, 32, generator=random), torch.rand(32, generator=random)
    weight[2, 7] = 5.0
    limit = 0.3
    expected = weight.clone()
    for row in range(5):
        for start in (0, 16):
            group, cost = weight[row, start : start + 16], costs[start : start + 16]
            gains = []
            for place in range(16):
                others = torch.arange(16) != place
                gains.append(_error(group, cost) - _error(group[others], cost[others]))
            likely = torch.tensor(gains) > limit
            if likely.any():
                expected[row, start : start + 16][likely] = group[~likely].mean()
    found = without_outliers(weight, costs, 16, 2, limit, 160)
    assert (expected != weight).any()
    torch.testing.assert_close(found, expected)


def _error(values, cost):
    low, high = values.min().clamp_max(0), values.max().clamp_min(0)
    scale = (high - low) / 3
    rounded = ((values - low) / scale).round().clamp(0, 3) * scale + low
    return float((cost * (values - rounded) ** 2).sum())


@pytest.mark.parametrize(
    ("label", "shortest"),
    [("spqr-3b", "spqr-3b"), ("spqr-3b-g16-o1", "spqr-3b"), ("spqr-4b-g32-o0.50", "spqr-4b-g32-o0.5")],
)
def test_labels(label, shortest):
    assert format_of(label).label == shortest
    assert format_of(shortest) == format_of(label)


@pytest.mark.parametrize("label", ["spqr-1b", "spqr-9b", "spqr-3b-g1", "spqr-3b-o101"])
def test_settings_that_make_no_sense(label):
    with pytest.raises(ConfigurationError, match="2 to 8 bits, groups at least 2 weights, outliers are at most 100%"):
        SpqrFormat.parse(label)


def test_what_does_not_fit():
    assert "do not divide its 24 columns" in format_of("spqr-3b").misfit((4, 24))
    with pytest.raises(ConfigurationError, match="do not divide"):
        format_of("spqr-3b").fit(torch.zeros(4, 24))
    with pytest.raises(ConfigurationError, match="spqr needs a format that it names, such as spqr-3b"):
        Level.parse("spqr:int4")
    weight, gram, _ = draw(4, 32)
    gram[0, 0] = float("nan")
    with pytest.raises(MaterialiseError, match="not finite"):
        quantised(weight, "spqr-3b", gram)


@pytest.mark.parametrize("block", [16, 128])
def test_the_kernel_does_what_goes_column_by_column(block):
    weight, gram, _ = draw(300, 160, planted=60)
    order = order_of(gram, act_order=True)
    columns, factor = in_order(weight.float(), gram, order, 0.01)
    grid = format_of("spqr-3b").fit(weight.float())
    limit = 0.2 * float((columns.var(dim=1) * factor.diagonal() ** 2).mean())
    one, other = (KeepingOutliers(grid, order, factor.diagonal(), limit, room) for room in (None, weight.numel()))
    errors = [round_columns(columns, factor, choice, block) for choice in (one, other)]
    assert len(one.outliers()[0]) > 60
    assert (one.codes() != other.codes()).double().mean() < 0.01
    losses = [float((error.T @ factor).square().sum()) for error in errors]
    assert losses[0] == pytest.approx(losses[1], rel=0.01)
    for choice, error in zip((one, other), errors, strict=True):
        rows, places, kept = choice.outliers()
        chosen = torch.empty_like(weight, dtype=torch.float32)
        chosen[:, order] = (columns - error).T
        torch.testing.assert_close(chosen[rows, places], kept.float(), rtol=1e-5, atol=1e-6)
