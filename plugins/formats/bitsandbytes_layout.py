"""How bitsandbytes stores a 4-bit weight: the tensors of its `Params4bit`, as transformers saves and loads them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import prod

import torch

from .dynamic_map import BLOCK, dynamic_map

_LONGEST_FLOAT = "1.1754943508222875e-38"
_LONGEST_DTYPE = "bfloat16"


def stored(
    kind: str,
    block: int,
    shape: Sequence[int],
    codes: torch.Tensor,
    parts: Mapping[str, torch.Tensor],
    levels: torch.Tensor,
    dtype: torch.dtype,
) -> dict[str, torch.Tensor]:
    """The tensors of a weight, by what follows its name: `""` (packed codes), `.absmax`, `.quant_map`...

    Args:
        kind: `nf4` or `fp4`.
        codes: uint8, of the weight's shape.
        parts: as the format keeps them: `absmax`, and `nested_absmax` and `nested_offset` if it is doubly quantised.
        levels: the 16 values, in the order of their codes.
        dtype: what the weight is to be dequantised to.
    """
    pairs = codes.reshape(-1, 2)
    tensors = {
        "": (pairs[:, 0] << 4 | pairs[:, 1])[:, None],
        ".absmax": parts["absmax"].flatten(),
        ".quant_map": levels.clone(),
    }
    offset = None
    if "nested_absmax" in parts:
        tensors[".nested_absmax"] = parts["nested_absmax"]
        tensors[".nested_quant_map"] = dynamic_map().clone()
        offset = repr(parts["nested_offset"].item())
    text = _state(kind, block, shape, str(dtype).removeprefix("torch."), offset)
    # Blanks, which JSON allows, make the bytes depend on nothing but the shape.
    padded = text.ljust(_state_bytes(kind, block, shape, offset is not None))
    tensors[f".quant_state.bitsandbytes__{kind}"] = torch.frombuffer(bytearray(padded.encode()), dtype=torch.uint8)
    return tensors


def stored_bytes(kind: str, block: int, shape: Sequence[int], nested: bool) -> int:
    """Bytes of all of `stored`."""
    elements = prod(shape)
    blocks = elements // block
    scales = blocks + 4 * -(-blocks // BLOCK) + 4 * 256 if nested else 4 * blocks
    return elements // 2 + scales + 4 * 16 + _state_bytes(kind, block, shape, nested)


def _state(kind: str, block: int, shape: Sequence[int], dtype: str, offset: str | None) -> str:
    state = {"quant_type": kind, "blocksize": block, "dtype": dtype, "shape": list(shape)}
    if offset is None:
        return json.dumps(state)
    nested = {"nested_blocksize": BLOCK, "nested_dtype": "float32", "nested_offset": float(offset)}
    return json.dumps(state | nested)


def _state_bytes(kind: str, block: int, shape: Sequence[int], nested: bool) -> int:
    return len(_state(kind, block, shape, _LONGEST_DTYPE, _LONGEST_FLOAT if nested else None))
