"""How the bytes of a superblock are laid out: the inverse of `gguf.dequantize`, a function for each type.

Every function takes codes, shape (superblocks, 256), and parts with a row for each superblock, and gives the columns of
the bytes in order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Parts = Mapping[str, npt.NDArray[Any]]


def q2_k(codes: Bytes, parts: Parts) -> list[Bytes]:
    """84 bytes."""
    both = parts["scales"] | (parts["minima"] << 4)
    return [both, _laid(codes, 2, 2, 4), as_bytes(parts["d"]), as_bytes(parts["dmin"])]


def q3_k(codes: Bytes, parts: Parts) -> list[Bytes]:
    """110 bytes."""
    scales = (parts["scales"] + 32).astype(np.uint8)
    packed = [_laid(scales & 15, 4, 1, 2), _laid(scales >> 4, 2, 1, 4)]
    return [_laid(codes >> 2, 1, 1, 8), _laid(codes & 3, 2, 2, 4), *packed, as_bytes(parts["d"])]


def q4_k(codes: Bytes, parts: Parts) -> list[Bytes]:
    """144 bytes."""
    return [as_bytes(parts["d"]), as_bytes(parts["dmin"]), *_scales_and_minima(parts), _laid(codes, 4, 4, 2)]


def q5_k(codes: Bytes, parts: Parts) -> list[Bytes]:
    """176 bytes."""
    head = [as_bytes(parts["d"]), as_bytes(parts["dmin"]), *_scales_and_minima(parts)]
    return [*head, _laid(codes >> 4, 1, 1, 8), _laid(codes & 15, 4, 4, 2)]


def q6_k(codes: Bytes, parts: Parts) -> list[Bytes]:
    """210 bytes."""
    return [_laid(codes & 15, 4, 2, 2), _laid(codes >> 4, 2, 2, 4), as_bytes(parts["scales"]), as_bytes(parts["d"])]


PACKERS: Mapping[str, Callable[[Bytes, Parts], list[Bytes]]] = {
    "q2_k": q2_k,
    "q3_k": q3_k,
    "q4_k": q4_k,
    "q5_k": q5_k,
    "q6_k": q6_k,
}


def as_bytes(array: npt.NDArray[Any]) -> Bytes:
    """The rows' bytes, little end first."""
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).view(np.uint8)


def _laid(codes: npt.NDArray[Any], width: int, parts: int, layers: int) -> Bytes:
    """Codes of `width` bits: each of `parts` equal stretches is cut into `layers`, which lie over each other."""
    stacked = codes.reshape(len(codes), parts, layers, -1)
    laid = np.zeros_like(stacked[:, :, 0], dtype=np.uint8)
    for number in range(layers):
        laid |= stacked[:, :, number] << np.uint8(width * number)
    return laid.reshape(len(codes), -1)


def _scales_and_minima(parts: Parts) -> list[Bytes]:
    """Eight scales and eight minima of 6 bits: the first four whole, the others' upper bits above them."""
    (first, rest), (first_minimum, rest_minimum) = (
        (part[:, :4], part[:, 4:]) for part in (parts["scales"], parts["minima"])
    )
    low = (rest & 15) | ((rest_minimum & 15) << 4)
    return [first | ((rest >> 4) << 6), first_minimum | ((rest_minimum >> 4) << 6), low]
