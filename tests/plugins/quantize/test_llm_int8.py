"""LLM.int8(): bytes as bitsandbytes stores them."""

from __future__ import annotations

import logging

import pytest
import torch
from heterosis.core.errors import ConfigurationError
from heterosis.core.quantization.level import Level
from heterosis.plugins.formats.llm_int8 import LlmInt8Format
from heterosis.plugins.quantize.llm_int8 import LlmInt8
from heterosis.plugins.quantize.llm_int8_linear import LlmInt8Linear, recovered
from hypothesis import given, settings
from hypothesis import strategies as st

DTYPES = st.sampled_from([torch.float32, torch.bfloat16, torch.float16])
SIZES = st.sampled_from([1e-6, 1e-4, 0.05, 1.0, 300.0])
SEEDS = st.integers(0, 9)


def quantised(weight):
    return LlmInt8().quantize(weight, LlmInt8Format(), None, LlmInt8.options)


@settings(deadline=None)
@given(st.integers(1, 20), st.integers(1, 40), st.sampled_from([1e-4, 1.0, 300.0]), st.integers(0, 9))
def test_bytes_and_values_are_those_of_bitsandbytes(outputs, inputs, size, seed):
    bitsandbytes = pytest.importorskip("bitsandbytes")
    weight = (size * torch.randn(outputs, inputs, generator=torch.Generator().manual_seed(seed))).bfloat16()
    codes, scales, _ = bitsandbytes.functional.int8_vectorwise_quant(weight.half())
    found = quantised(weight)
    assert torch.equal(found.codes, codes)
    assert torch.equal(found.parts["absmax"], scales)
    expected = bitsandbytes.functional.int8_vectorwise_dequant(codes, scales)
    assert torch.equal(found.dequantize(torch.float32), expected)
    assert torch.equal(found.dequantize(torch.bfloat16), expected.bfloat16())
    assert found.nbytes == codes.nbytes + scales.nbytes + 1
    assert found.nbytes == sum(tensor.nbytes for tensor in found.format.stored(found).values())


def test_rows_of_nothing_stay_nothing():
    weight = torch.zeros(3, 8)
    weight[1] = 1.0
    assert torch.equal(quantised(weight).dequantize(torch.float32)[[0, 2]], torch.zeros(2, 8))


def normal(shape, seed, size=1.0):
    return size * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@settings(deadline=None)
@given(
    st.integers(1, 40), st.integers(2, 90), st.integers(1, 9), DTYPES, SIZES, st.sampled_from([0.3, 2.0]), SEEDS, SEEDS
)  # torch._int_mm, which bitsandbytes calls, reads foreign memory for a single input feature
def test_a_layer_computes_what_that_of_bitsandbytes_does(outputs, inputs, tokens, dtype, size, spread, seed, wild):
    """Rows of nothing, features of outliers, tokens that float16 cannot hold and biases included."""
    bitsandbytes = pytest.importorskip("bitsandbytes")
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    weight, bias = normal((outputs, inputs), seed, size).to(dtype), normal((outputs,), seed + 1).to(dtype)
    weight[seed % outputs] = 0
    values = normal((1, tokens, inputs), seed, spread)
    values[..., wild % inputs] *= 10.0**wild
    values = values.clamp(-6e4, 6e4).to(dtype) if dtype == torch.float16 else values.to(dtype)
    layer = bitsandbytes.nn.Linear8bitLt(inputs, outputs, has_fp16_weights=False, threshold=6.0)
    layer.weight = bitsandbytes.nn.Int8Params(weight.clone(), requires_grad=False)
    layer.bias.data = bias.clone()
    layer = layer.to("cpu").eval().requires_grad_(False)
    found = LlmInt8Linear().linear(values, quantised(weight).dequantize(dtype), bias)
    assert found.dtype == dtype
    assert torch.equal(found, layer(values))


@settings(deadline=None)
@given(st.integers(1, 20), st.integers(1, 60), DTYPES, SIZES, SEEDS)
def test_codes_and_scales_can_be_recovered_from_the_weights_they_stand_for(outputs, inputs, dtype, size, seed):
    found = quantised(normal((outputs, inputs), seed, size).to(dtype))
    codes, scales = recovered(found.dequantize(dtype))
    assert torch.equal(codes, found.codes.float())
    assert torch.equal(scales, found.parts["absmax"])


def test_features_with_an_outlier_are_whole_for_all_tokens_of_the_call():
    inputs = normal((6, 16), 0).clamp(-2, 2)
    inputs[4, 7], inputs[2, 5] = -6.0, 5.9
    found = LlmInt8Linear().linear(inputs, torch.eye(16), None)
    assert torch.equal(found[:, 7], inputs[:, 7])
    assert not torch.equal(found[:, 5], inputs[:, 5])
    assert (found - inputs).abs().amax() <= 5.9 / 127 / 2 + 1e-4
    assert LlmInt8().arithmetic(quantised(torch.ones(2, 4))) == LlmInt8Linear(threshold=6.0)


def test_it_has_one_format():
    assert Level.parse("llm_int8:llm-int8") == Level("llm_int8", LlmInt8Format())
    assert LlmInt8Format.parse("llm-int4") is None
    with pytest.raises(ConfigurationError, match="llm_int8 has one format: llm-int8"):
        Level.parse("llm_int8:int8")
    with pytest.raises(ConfigurationError, match="no search 'mse'"):
        LlmInt8Format().fit(torch.ones(2, 2), search="mse")
