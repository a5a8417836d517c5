"""Calibrated quantisers beside their references: GPTQ's proxy loss against llm-compressor's, on the same grid."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import torch
from heterosis.core.quantization.level import format_of
from heterosis.plugins.formats.integer import IntegerFormat
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
    )


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
