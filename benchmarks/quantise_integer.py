"""Integer and FP8 formats beside compressed-tensors: scales of a min-max observer, codes, and the loaded weights."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from compressed_tensors.quantization import QuantizationArgs
from compressed_tensors.quantization.lifecycle.forward import dequantize, quantize
from compressed_tensors.quantization.utils import calculate_qparams
from heterosis.core.quantization.level import Level
from heterosis.plugins.formats.groups import CHANNEL, TENSOR, grouped
from heterosis.plugins.formats.integer import IntegerFormat
from heterosis.plugins.formats.scaled import ScaledFormat

from .quantise_rows import Row

LABELS = (
    *(f"int{width}-g64{zeros}" for width in range(2, 9) for zeros in ("", "-asym")),
    *("int4-channel", "int8-tensor-asym", "fp8_e4m3", "fp8_e4m3-tensor"),
)
QUICK = ("int4-g64", "int3-g64-asym", "int8-channel", "fp8_e4m3")
ALONE = ("int2-g64 mse", "int2-g64-asym neuqi", "int2-g64-float neuqi", "hqq:int2-g64-float", "ternary-g64 mse")
TIMES = 3


def rows(weight: torch.Tensor, quick: bool) -> list[Row]:
    """Ours against compressed-tensors', and quantisers that no installed library has against plain rounding.

    Differences are of the weights that a loaded checkpoint has, in the dtype of the model. The library's codes are
    taken in float32 arithmetic; the note says how many more its arithmetic in the dtype of the model would change.

    Args:
        weight: of a linear layer, in the dtype of the model, shape (out, in), in divisible by 64.
        quick: fewer formats.
    """
    compared = [_compared(weight, label) for label in (QUICK if quick else LABELS)]
    return compared + [_alone(weight, level) for level in (ALONE[:1] if quick else ALONE)]


def _compared(weight: torch.Tensor, label: str) -> Row:
    level = Level.parse(label)
    assert level is not None
    form = level.format
    assert isinstance(form, IntegerFormat | ScaledFormat)
    arguments = _arguments(form)
    ours, seconds = _timed(lambda: _quantised(weight, level))
    theirs, reference_seconds = _timed(lambda: _library(weight, arguments, form.group, weight.dtype))
    exact = _library(weight, arguments, form.group, torch.float32)
    moved = float((exact != theirs).float().mean())
    note = "" if weight.dtype == torch.float32 else f"its {str(weight.dtype)[6:]} arithmetic moves {moved:.2%} of codes"
    return Row(label, "compressed-tensors", _largest(ours, exact), seconds, reference_seconds, note)


def _alone(weight: torch.Tensor, described: str) -> Row:
    label, _, search = described.partition(" ")
    level = Level.parse(label)
    plain = Level.parse(label.rpartition(":")[2])
    assert level is not None
    assert plain is not None
    ours, seconds = _timed(lambda: _quantised(weight, level, search))
    theirs, reference_seconds = _timed(lambda: _quantised(weight, plain))
    lost, before = ((found - weight).float().square().mean().sqrt() for found in (ours, theirs))
    note = f"no library to compare with; root mean square error {lost / before:.3f} times that of min-max"
    return Row(described, "our min-max", float("nan"), seconds, reference_seconds, note)


def _quantised(weight: torch.Tensor, level: Level, search: str = "") -> torch.Tensor:
    options = {**level.plugin.options, **({"search": search} if search else {})}
    return level.plugin.quantize(weight, level.format, None, options).dequantize(weight.dtype)


def _arguments(form: IntegerFormat | ScaledFormat) -> QuantizationArgs:
    whole = isinstance(form, IntegerFormat)
    return QuantizationArgs(
        num_bits=form.width if isinstance(form, IntegerFormat) else 8,
        type="int" if whole else "float",
        symmetric=form.symmetric if isinstance(form, IntegerFormat) else True,
        strategy={CHANNEL: "channel", TENSOR: "tensor"}.get(form.group, "group"),
        group_size=form.group if form.group > 0 else None,
    )


def _library(weight: torch.Tensor, arguments: QuantizationArgs, group: int, arithmetic: torch.dtype) -> torch.Tensor:
    groups = grouped(weight, group)
    low, high = groups.amin(-1), groups.amax(-1)
    if group == TENSOR:
        low, high = low.reshape(1), high.reshape(1)
    scale, zero = calculate_qparams(low, high, arguments)
    stored = torch.int8 if arguments.type == "int" else torch.float8_e4m3fn
    codes = quantize(weight.to(arithmetic), scale.to(arithmetic), zero, arguments, dtype=stored)
    found: torch.Tensor = dequantize(codes, scale, zero if stored == torch.int8 else None, arguments)
    return found


def _largest(left: torch.Tensor, right: torch.Tensor) -> float:
    return float((left.float() - right.float()).abs().max())


def _timed(run: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, float]:
    taken = []
    for _ in range(TIMES):
        start = time.perf_counter()
        found = run()
        taken.append(time.perf_counter() - start)
    return found, min(taken)
