"""LLM.int8(): bytes as bitsandbytes stores them."""

from __future__ import annotations

import pytest
import torch
from heterosis.core.errors import ConfigurationError
from heterosis.core.quantization.activations import ActivationRounding
from heterosis.core.quantization.level import Level
from heterosis.plugins.formats.llm_int8 import LlmInt8Format
from heterosis.plugins.quantize.llm_int8 import LlmInt8
from hypothesis import given, settings
from hypothesis import strategies as st


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
    assert found.nbytes == codes.nbytes + scales.nbytes


def test_rows_of_nothing_stay_nothing():
    weight = torch.zeros(3, 8)
    weight[1] = 1.0
    assert torch.equal(quantised(weight).dequantize(torch.float32)[[0, 2]], torch.zeros(2, 8))


def test_activations_are_rounded_but_for_outliers():
    assert LlmInt8().activations(quantised(torch.ones(2, 4))) == ActivationRounding(8, threshold=6.0)


def test_it_has_one_format():
    assert Level.parse("llm_int8:llm-int8") == Level("llm_int8", LlmInt8Format())
    assert LlmInt8Format.parse("llm-int4") is None
    with pytest.raises(ConfigurationError, match="llm_int8 has one format: llm-int8"):
        Level.parse("llm_int8:int8")
    with pytest.raises(ConfigurationError, match="no search 'mse'"):
        LlmInt8Format().fit(torch.ones(2, 2), search="mse")
