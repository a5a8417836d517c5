"""Huffman codes for bytes: canonical, so that the lengths alone say them, and of at most 16 bits (Huffman, 1952)."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

LONGEST = 16
Bytes = npt.NDArray[np.uint8]
Codes = npt.NDArray[np.uint16]


def code_lengths(counts: Sequence[int]) -> Bytes:
    """Bits of each byte's code, shape (256,); 0 for bytes that do not occur.

    Args:
        counts: how often each of the 256 bytes occurs. Where rare ones would get codes that are too long, they count
            for more than they are.
    """
    scaled = list(counts)
    while True:
        lengths = _unlimited(scaled)
        if max(lengths) <= LONGEST:
            return np.array(lengths, dtype=np.uint8)
        scaled = [(count + 1) // 2 for count in scaled]


def _unlimited(counts: Sequence[int]) -> list[int]:
    lengths = [0] * len(counts)
    heap = [(count, byte, [byte]) for byte, count in enumerate(counts) if count]
    if len(heap) == 1:
        lengths[heap[0][1]] = 1
        return lengths
    heapq.heapify(heap)
    while len(heap) > 1:
        (one, first, left), (other, _, right) = heapq.heappop(heap), heapq.heappop(heap)
        for byte in (*left, *right):
            lengths[byte] += 1
        heapq.heappush(heap, (one + other, first, left + right))
    return lengths


def codes(lengths: Bytes) -> Codes:
    """The code of each byte, in its lowest `lengths` bits: ascending in length, then in the byte."""
    found = np.zeros(256, dtype=np.uint16)
    code = length = 0
    for byte in _in_order(lengths):
        code <<= int(lengths[byte]) - length
        length = int(lengths[byte])
        found[byte] = code
        code += 1
    return found


def lookup(lengths: Bytes) -> Bytes:
    """The byte whose code is at the start of each of the 65,536 runs of 16 bits."""
    table = np.zeros(1 << LONGEST, dtype=np.uint8)
    start = 0
    for byte in _in_order(lengths):
        width = 1 << (LONGEST - int(lengths[byte]))
        table[start : start + width] = byte
        start += width
    return table


def _in_order(lengths: Bytes) -> list[int]:
    return sorted(np.flatnonzero(lengths).tolist(), key=lambda byte: (lengths[byte], byte))
