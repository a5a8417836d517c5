"""Calibrated quantisers beside their references: GPTQ's loss against llm-compressor's, and what others make of it.

llm-compressor pins an older transformers: give it an environment of its own, `pip install heterosis[llm-compressor]`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
from heterosis.core.contracts import Calibration
from heterosis.core.quantization.level import Level, format_of
from heterosis.plugins.formats.integer import IntegerFormat
from heterosis.plugins.formats.llm_int8 import LlmInt8Format
from heterosis.plugins.quantize.column_rounding import proxy_loss
from heterosis.plugins.quantize.gptq import OPTIONS, gptq

from .quantise_rows import Row

LABELS = ("int4", "int3-g64", "int4-g64-asym", "int2-g64-asym", "int4-channel")
TOKENS = 8
"""Inputs drawn, for each input feature."""


def rows(weight: torch.Tensor, quick: bool) -> Iterator[Row]:
    """Ours against the libraries that are installed.

    Args:
        weight: of a linear layer, in the dtype of the model, shape (out, in), in divisible by 128 or by 64.
        quick: fewer formats.
    """
    wide = weight.float()
    gram = second_moments(weight.shape[1])
    for label in LABELS[:2] if quick else LABELS:
        form = format_of(label)
        if form.misfit(tuple(weight.shape)) is None:
            assert isinstance(form, IntegerFormat)
            yield _gptq_row(wide, form, gram)
    yield _llm_int8_row(weight)
    for level in ("spqr:spqr-3b", "quik:quik-4b-o64", "loftq:int3-g64-r16"):
        parsed = Level.parse(level)
        assert parsed is not None
        if parsed.format.misfit(tuple(weight.shape)) is None:
            yield _row_without_reference(weight, parsed, gram)


def second_moments(inputs: int) -> torch.Tensor:
    """Of inputs like a transformer's: correlated, and some features much larger than others."""
    random = torch.Generator().manual_seed(0)
    mixing = torch.randn(inputs, inputs, generator=random) / inputs**0.5
    mixing += torch.randn(inputs, 8, generator=random) @ torch.randn(8, inputs, generator=random) / 8 / inputs**0.5
    mixing *= torch.exp(torch.randn(inputs, generator=random))
    drawn = torch.randn(TOKENS * inputs, inputs, generator=random) @ mixing
    return torch.mm(drawn.T, drawn) / len(drawn)


def _gptq_row(weight: torch.Tensor, form: IntegerFormat, gram: torch.Tensor) -> Row:
    ours, seconds = _timed(lambda: gptq(weight, form, gram, OPTIONS).dequantize(torch.float32))
    if find_spec("llmcompressor") is None:
        nothing = float("nan")
        note = "pip install heterosis[llm-compressor], in an environment of its own: it needs transformers<=5.17"
        return Row(f"gptq:{form.label}", "llm-compressor is not installed", nothing, seconds, nothing, note)
    theirs, reference_seconds = _timed(lambda: _of_llm_compressor(weight, form, gram))
    plain = form.encode(form.fit(weight), weight).dequantize(torch.float32)
    losses = [proxy_loss(weight, found, gram) for found in (ours, theirs, plain)]
    return Row(
        f"gptq:{form.label}",
        "llm-compressor GPTQ, same scales, static act-order",
        float((ours - theirs).abs().max()),
        seconds,
        reference_seconds,
        f"proxy loss {losses[0] / losses[1] - 1:+.4%} from the reference; rtn: {losses[2] / losses[1]:.2f} times it; "
        f"{(ours != theirs).float().mean():.2%} of weights differ",
        losses[0] / losses[1],
    )


def _llm_int8_row(weight: torch.Tensor) -> Row:
    form = LlmInt8Format()
    wide = weight.float()
    ours, seconds = _timed(lambda: form.encode(form.fit(wide), wide).dequantize(torch.float32))
    nothing = float("nan")
    if find_spec("bitsandbytes") is None:
        return Row("llm_int8:llm-int8", "bitsandbytes is not installed", nothing, seconds, nothing)
    from bitsandbytes import functional

    def reference() -> torch.Tensor:
        codes, scales, _ = functional.int8_vectorwise_quant(weight.half())
        found: torch.Tensor = functional.int8_vectorwise_dequant(codes, scales)
        return found

    theirs, reference_seconds = _timed(reference)
    difference = float((ours - theirs).abs().max())
    return Row("llm_int8:llm-int8", "bitsandbytes int8_vectorwise_quant", difference, seconds, reference_seconds)


def _row_without_reference(weight: torch.Tensor, level: Level, gram: torch.Tensor) -> Row:
    """Beside plain rounding to integers of as many bits."""
    calibration = Calibration(gram, gram.diagonal().sqrt())
    quantise = partial(level.plugin.quantize, weight, level.format, calibration, level.plugin.options)
    ours, seconds = _timed(lambda: quantise().dequantize(torch.float32))
    nothing, bits = float("nan"), level.format.bits(tuple(weight.shape))
    plain = format_of("int4-g64")
    rounded = plain.encode(plain.fit(weight.float()), weight.float()).dequantize(torch.float32)
    ratio = proxy_loss(weight, ours, gram) / proxy_loss(weight, rounded, gram)
    others = plain.bits(tuple(weight.shape))
    note = f"{bits:.2f} bits, {ratio:.3f} times the proxy loss of rtn:int4-g64 ({others:.2f} bits)"
    return Row(level.label, "none on a CPU", nothing, seconds, nothing, note)


def _of_llm_compressor(weight: torch.Tensor, form: IntegerFormat, gram: torch.Tensor) -> torch.Tensor:
    from compressed_tensors.quantization import QuantizationArgs
    from llmcompressor.modifiers.gptq.gptq_quantize import quantize_weight

    parts = form.fit(weight).parts
    scale = parts["scale"].float()
    zero = parts.get("zero", torch.zeros_like(scale, dtype=torch.int8))
    strategy: dict[str, Any] = (
        {"strategy": "group", "group_size": form.group} if form.group > 0 else {"strategy": "channel"}
    )
    settings = QuantizationArgs(num_bits=form.width, symmetric=form.symmetric, actorder="static", **strategy)
    stacked = (weight[None].clone(), gram[None].clone(), scale[None], zero[None])
    found: torch.Tensor
    found, _, fell_back = quantize_weight(*stacked, global_scale=None, quant_args=settings)
    assert not fell_back.any(), "llm-compressor rounded to nearest"
    return found.squeeze(0)


def _timed(run: Callable[[], torch.Tensor], times: int = 2) -> tuple[torch.Tensor, float]:
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        found = run()
        taken.append(time.perf_counter() - start)
    return found, min(taken)


if __name__ == "__main__":
    torch.manual_seed(0)
    for row in rows((torch.randn(576, 1536) / 40).bfloat16(), quick=False):
        print(row)
