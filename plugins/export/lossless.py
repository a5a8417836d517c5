"""bfloat16 tensors without loss in about 70% of their bytes: Huffman codes for exponents, the other bits as they are.

Zhang et al., 70% Size, 100% Accuracy: Lossless LLM Compression via Dynamic-Length Float (DFloat11), 2025. The exponents
of a model's weights have an entropy of 2.6 of their 8 bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch

from . import huffman

RUN = 1024
"""Weights that are coded together, from a whole byte on: runs can be decoded side by side."""
_RUNS_AT_ONCE = 1024
PARTS = ("exponents", "signs_and_mantissas", "code_lengths", "run_bytes")


def huffman_bytes(tensor: torch.Tensor) -> int:
    """Bytes of all of `packed(tensor)`, without packing it.

    Raises:
        ValueError: the tensor is not bfloat16.
    """
    exponents = _exponents(tensor)
    lengths = _code_lengths(exponents)
    streams = sum(int(_run_bytes(lengths[part]).sum()) for part in _parts(exponents))
    return streams + tensor.numel() + 256 + 2 * -(-tensor.numel() // RUN)


def stored_bytes(tensor: torch.Tensor) -> int:
    """Bytes of a tensor of any dtype as it is stored: only bfloat16 is compressed."""
    return huffman_bytes(tensor) if tensor.dtype == torch.bfloat16 else tensor.nbytes


def packed(tensor: torch.Tensor) -> dict[str, torch.Tensor]:
    """The parts of a bfloat16 tensor.

    `exponents`: uint8, the codes of each run, the first bit of a byte the highest; `signs_and_mantissas`: uint8, of the
    tensor's shape, the sign the highest bit; `code_lengths`: uint8, shape (256,), see `huffman`; `run_bytes`: int16,
    how many bytes of `exponents` each run takes.

    Raises:
        ValueError: the tensor is not bfloat16.
    """
    exponents = _exponents(tensor)
    lengths = _code_lengths(exponents)
    codes = huffman.codes(lengths)
    streams, sizes = [np.empty(0, np.uint8)], [np.empty(0, np.int16)]
    for part in _parts(exponents):
        streams.append(_encoded(codes[part], lengths[part]))
        sizes.append(_run_bytes(lengths[part]).astype(np.int16))
    bits = tensor.contiguous().view(torch.int16)
    rest = (bits >> 8 & 0x80 | bits & 0x7F).to(torch.uint8)
    return {
        "exponents": torch.from_numpy(np.concatenate(streams)),
        "signs_and_mantissas": rest,
        "code_lengths": torch.from_numpy(lengths),
        "run_bytes": torch.from_numpy(np.concatenate(sizes)),
    }


def unpacked(parts: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The tensor that was packed, bit for bit.

    Raises:
        ValueError: the parts are not of one tensor.
    """
    rest = parts["signs_and_mantissas"]
    runs = parts["run_bytes"]
    if len(runs) != -(-rest.numel() // RUN) or int(runs.sum()) != parts["exponents"].numel():
        raise ValueError("the runs do not add up to the exponents that are there")
    exponents = torch.from_numpy(_decoded(parts, rest.numel())).view(rest.shape).to(torch.int16)
    wide = rest.to(torch.int16)
    return ((wide & 0x80) << 8 | exponents << 7 | wide & 0x7F).view(torch.bfloat16)


def _exponents(tensor: torch.Tensor) -> huffman.Bytes:
    if tensor.dtype != torch.bfloat16:
        raise ValueError(f"only bfloat16 has exponents that are worth coding, not {tensor.dtype}")
    bits = tensor.detach().cpu().contiguous().flatten().view(torch.int16)
    found: huffman.Bytes = (bits >> 7).to(torch.uint8).numpy()
    return found


def _code_lengths(exponents: huffman.Bytes) -> huffman.Bytes:
    return huffman.code_lengths(np.bincount(exponents, minlength=256).tolist())


def _parts(exponents: huffman.Bytes) -> Iterator[huffman.Bytes]:
    size = RUN * _RUNS_AT_ONCE
    return (exponents[first : first + size] for first in range(0, len(exponents), size))


def _in_runs(lengths: huffman.Bytes) -> huffman.Bytes:
    """One run a row; what the last run lacks has no bits."""
    return np.pad(lengths, (0, -len(lengths) % RUN)).reshape(-1, RUN)


def _run_bytes(lengths: huffman.Bytes) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    sizes: np.ndarray[tuple[int], np.dtype[np.int64]] = (_in_runs(lengths).sum(axis=1, dtype=np.int64) + 7) // 8
    return sizes


def _encoded(codes: huffman.Codes, lengths: huffman.Bytes) -> huffman.Bytes:
    sizes = _run_bytes(lengths)
    within = _in_runs(lengths).cumsum(axis=1, dtype=np.int64)
    starts = ((np.cumsum(sizes) - sizes) * 8)[:, None] + within
    first = starts.reshape(-1)[: len(lengths)] - lengths
    bits = np.zeros(int(sizes.sum()) * 8, dtype=np.uint8)
    place = np.arange(len(lengths))
    for bit in range(int(lengths.max())):
        place = place[lengths[place] > bit]
        bits[first[place] + bit] = codes[place] >> (lengths[place] - 1 - bit) & 1
    return np.packbits(bits)


def _decoded(parts: Mapping[str, torch.Tensor], count: int) -> huffman.Bytes:
    lengths = parts["code_lengths"].numpy()
    byte_of = huffman.lookup(lengths)
    sizes = parts["run_bytes"].numpy().astype(np.int64)
    ends = np.cumsum(sizes)
    stream = parts["exponents"].numpy()
    found = np.empty((len(sizes), RUN), dtype=np.uint8)
    for first in range(0, len(sizes), _RUNS_AT_ONCE):
        runs = slice(first, first + _RUNS_AT_ONCE)
        begin = int(ends[first] - sizes[first])
        # after its last code a run that is not full is read on, into whatever follows
        some = np.pad(stream[begin : int(ends[runs][-1])], (0, RUN * huffman.LONGEST // 8 + 2)).astype(np.uint32)
        windows = some[:-2] << 16 | some[1:-1] << 8 | some[2:]
        place = (ends[runs] - sizes[runs] - begin) * 8
        for column in range(RUN):
            code = windows[place >> 3] >> (8 - (place & 7)) & 0xFFFF
            found[runs, column] = byte = byte_of[code]
            place += lengths[byte]
    return found.reshape(-1)[:count]
