"""Rows of `benchmarks/quantise.py`: GGUF block types beside the `gguf` package and llama.cpp where it is installed."""

from __future__ import annotations

import ctypes
import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from heterosis.core.quantization.level import format_of
from heterosis.plugins.formats.gguf_blocks import BLOCKS
from heterosis.plugins.formats.gguf_format import GgufFormat
from heterosis.plugins.formats.gguf_k import SUPERBLOCKS

from .quantise_rows import Row

REPEATS = 3


def rows(weight: torch.Tensor, quick: bool) -> list[Row]:
    """A row for each type that fits the matrix; types that `gguf` cannot pack are compared with llama.cpp's library."""
    weight, repeats = weight.float().contiguous(), 1 if quick else REPEATS
    fitting = [label for label in (*BLOCKS, *SUPERBLOCKS) if format_of(label).misfit(tuple(weight.shape)) is None]
    return [row for label in fitting for row in _rows(label, weight, repeats)]


def _rows(label: str, weight: torch.Tensor, repeats: int) -> list[Row]:
    kind = format_of(label)
    assert isinstance(kind, GgufFormat)
    ggml_type = gguf.GGMLQuantizationType(kind.ggml_type)
    seconds, ours = _timed(lambda: kind.encode(kind.fit(weight), weight).dequantize().numpy(), repeats)
    references: dict[str, Callable[[], Any]] = {}
    if label in BLOCKS:
        references["gguf quantize"] = lambda: gguf.quantize(weight.numpy(), ggml_type)
    library = _library()
    if library is not None:
        references["llama.cpp ggml_quantize_chunk"] = lambda: _by_ggml(library, kind, weight)
    found = []
    for name, packed in references.items():
        taken, theirs = _timed(lambda packed=packed: gguf.dequantize(packed(), ggml_type), repeats)
        ratio = _error(ours, weight) / max(_error(theirs, weight), 1e-30)
        share = float(np.mean(ours == theirs))
        note = f"squared error {ratio:.4f} of theirs; {share:.2%} of the values equal"
        searched = None if label in BLOCKS else ratio
        found.append(Row(label, name, float(np.abs(ours - theirs).max()), seconds, taken, note, searched))
    return found


def _timed(run: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    best, result = float("inf"), None
    for _ in range(repeats):
        start = time.perf_counter()
        result = run()
        best = min(best, time.perf_counter() - start)
    return best, result


def _error(values: Any, weight: torch.Tensor) -> float:
    return float(np.square(values - weight.numpy(), dtype=np.float64).sum())


def _library() -> ctypes.CDLL | None:
    found = importlib.util.find_spec("llama_cpp")  # found, not imported: that would start its backends
    if found is None or found.origin is None:
        return None
    return ctypes.CDLL(str(Path(found.origin).parent / "lib" / "libggml-base.so"))


def _by_ggml(library: ctypes.CDLL, kind: GgufFormat, weight: torch.Tensor) -> Any:
    function = library.ggml_quantize_chunk
    function.restype = ctypes.c_size_t
    pointer, count = ctypes.c_void_p, ctypes.c_int64
    function.argtypes = [ctypes.c_int, pointer, pointer, count, count, count, pointer]
    values, packed = weight.numpy(), np.empty(kind.nbytes(tuple(weight.shape)), np.uint8)
    function(kind.ggml_type, values.ctypes.data, packed.ctypes.data, 0, *values.shape, None)
    return packed.reshape(len(values), -1)
