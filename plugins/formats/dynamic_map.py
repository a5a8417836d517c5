"""bitsandbytes' 8-bit dynamic map, which stores scales of scales: 256 values, dense near 0.

Dettmers, 8-Bit Approximations for Parallelism in Deep Learning, 2015.
"""

from __future__ import annotations

from functools import cache

import torch

BLOCK = 256
_BINS = 65_536


@cache
def dynamic_map() -> torch.Tensor:
    """The 256 values in order, float32, from -0.993 to 1: a decade each has twice as many as the one below it."""
    values = [0.0, 1.0]
    for exponent in range(7):
        edges = torch.linspace(0.1, 1, 2**exponent + 1)
        middles = 10.0 ** (exponent - 6) * ((edges[:-1] + edges[1:]) / 2.0)
        values += [*middles.tolist(), *(-middles).tolist()]
    return torch.tensor(sorted(values))


@cache
def _code_of_bin() -> torch.Tensor:
    values = dynamic_map()
    bins = torch.arange(_BINS).float() * (2 / (_BINS - 1)) - 1
    return torch.bucketize(bins, (values[:-1] + values[1:]) / 2).to(torch.uint8)


def quantize_blockwise(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes of the nearest values of the map, uint8, and the largest magnitude of each 256 values, float32.

    It agrees bit for bit with bitsandbytes' kernel for CPUs, which sorts values into 65,536 bins first: its kernels for
    GPUs may choose the neighbour for a value between two.

    Args:
        values: float32, shape (n,).
    """
    blocks = torch.nn.functional.pad(values, (0, -len(values) % BLOCK)).reshape(-1, BLOCK)
    largest = blocks.abs().amax(1)
    scaled = (blocks * (1 / largest.clamp_min(1e-38))[:, None]).clamp_(-1, 1)
    bins = ((scaled + 1) * ((_BINS - 1) / 2) + 0.5).to(torch.int32)
    codes = _code_of_bin()[bins].masked_fill_(largest[:, None] == 0, 0)
    return codes.flatten()[: len(values)], largest


def dequantize_blockwise(codes: torch.Tensor, largest: torch.Tensor) -> torch.Tensor:
    """The values that `quantize_blockwise` stored, float32."""
    return dynamic_map()[codes.int()] * largest.repeat_interleave(BLOCK)[: len(codes)]
