"""Four-bit codebooks and microscaling formats beside bitsandbytes, compressed-tensors and gguf: equal bit for bit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import torch
from heterosis.core.quantization.level import format_of
from heterosis.plugins.formats.codebook import CodebookFormat

from .quantise_rows import Row

CODEBOOKS = ("nf4", "nf4-dq", "fp4", "fp4-dq")
ENGINES = {"mxfp4": "MXFP4A16", "mxfp8": "MXFP8A16", "nvfp4": "NVFP4A16"}
ROTATIONS = (16, 32, 64, 128)


def rows(weight: torch.Tensor, quick: bool) -> Iterator[Row]:
    """Ours against the libraries that are installed, and what rotations and sparsity cost, which none of them has.

    Args:
        weight: of a linear layer, bfloat16 (compressed-tensors' small floats need that), shape (out, in), in divisible
            by 64.
        quick: once instead of three times each, and fewer rotations.
    """
    times = 1 if quick else 3
    for label in CODEBOOKS:
        yield _row(label, weight, "bitsandbytes quantize_4bit on CPU", _of_bitsandbytes(label), times)
    for label in ENGINES:
        yield _row(label, weight, "compressed-tensors compress, decompress", _of_compressed_tensors(label), times)
    yield _row("mxfp4_ocp", weight, "gguf.quants MXFP4", _of_gguf, times)
    for label in ("mxfp4", "nvfp4"):
        for size in ROTATIONS[1:2] if quick else ROTATIONS:
            if weight.shape[1] % size == 0:
                yield _row(f"{label}-h{size}", weight, "none", None, times)
    for label in ("sparse24", "sparse24-int8"):
        yield _row(label, weight, "none", None, times)


def _row(
    label: str, weight: torch.Tensor, reference: str, theirs: Callable[[torch.Tensor], torch.Tensor] | None, times: int
) -> Row:
    form, nothing = format_of(label), float("nan")
    wide = weight.float()
    ours, seconds = _timed(
        lambda: form.encode(form.fit(wide, dtype=weight.dtype), wide).dequantize(weight.dtype), times
    )
    error = ((ours.float() - wide).norm() / wide.norm()).item()
    note = f"{form.bits(tuple(weight.shape)):.3f} bits a weight; relative error {error:.4f}"
    if theirs is None:
        return Row(label, reference, nothing, seconds, nothing, note)
    if reference.startswith("bitsandbytes") and find_spec("bitsandbytes") is None:
        return Row(label, "bitsandbytes is not installed", nothing, seconds, nothing, note)
    run = theirs
    found, reference_seconds = _timed(lambda: run(weight), times)
    difference = (ours.double() - found.double()).abs().max().item()
    return Row(label, reference, difference, seconds, reference_seconds, note)


def _of_bitsandbytes(label: str) -> Callable[[torch.Tensor], torch.Tensor]:
    form = format_of(label)
    assert isinstance(form, CodebookFormat)

    def run(weight: torch.Tensor) -> torch.Tensor:
        from bitsandbytes import functional

        library: Any = functional
        packed, state = library.quantize_4bit(
            weight, quant_type=form.kind, blocksize=form.block, compress_statistics=form.double
        )
        found: torch.Tensor = library.dequantize_4bit(packed, state)
        return found

    return run


def _of_compressed_tensors(label: str) -> Callable[[torch.Tensor], torch.Tensor]:
    def run(weight: torch.Tensor) -> torch.Tensor:
        from compressed_tensors.compressors import BaseCompressor
        from compressed_tensors.quantization.quant_scheme import preset_name_to_scheme
        from compressed_tensors.quantization.utils import calculate_qparams, generate_gparam

        scheme: Any = preset_name_to_scheme(ENGINES[label], ["Linear"])
        low, high = weight.reshape(len(weight), -1, scheme.weights.group_size).aminmax(dim=-1)
        state = {"weight": weight}
        if label == "nvfp4":
            state["weight_global_scale"] = generate_gparam(weight.amin(), weight.amax())
        scale, zero = calculate_qparams(low, high, scheme.weights, state.get("weight_global_scale"))
        name = f"{label}-quantized" if label == "mxfp8" else f"{label}-pack-quantized"
        compressor: Any = BaseCompressor.get_value_from_registry(name)
        stored = compressor.compress({**state, "weight_scale": scale, "weight_zero_point": zero}, scheme)
        found: torch.Tensor = compressor.decompress(stored, scheme)["weight"]
        return found

    return run


def _of_gguf(weight: torch.Tensor) -> torch.Tensor:
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize, quantize

    packed = quantize(weight.float().numpy(), GGMLQuantizationType.MXFP4)
    return torch.from_numpy(dequantize(packed, GGMLQuantizationType.MXFP4)).to(weight.dtype)


def _timed(run: Callable[[], torch.Tensor], times: int) -> tuple[torch.Tensor, float]:
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
