"""Inner products of tensors, which is all that many methods need to know of them to tell the weights of a sum."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

_BLOCK = 1 << 17


def inner_products(tensors: Sequence[torch.Tensor], origin: torch.Tensor | None = None) -> npt.NDArray[np.float64]:
    """The Gram matrix <x_i - origin, x_j - origin>, shape (k, k), over all elements (of any shape).

    Taken in float64: the length of a sum that nearly cancels is told from the matrix with the square root of the
    matrix's own precision, which would leave three digits of float32's. It costs nothing, as memory is the limit.
    """
    flat = [tensor.reshape(1, -1) for tensor in tensors]
    zero = None if origin is None else origin.reshape(1, -1)
    total = np.zeros((len(flat), len(flat)))
    for start in range(0, flat[0].numel(), _BLOCK):
        block = slice(start, start + _BLOCK)
        total += _products([part[:, block] for part in flat], None if zero is None else zero[:, block])[0]
    return total


def row_inner_products(tensors: Sequence[torch.Tensor], origin: torch.Tensor | None = None) -> npt.NDArray[np.float64]:
    """The Gram matrix of each row (last dimension): tensors of shape (..., n) give (..., k, k). In float64, too."""
    length = tensors[0].shape[-1]
    rows = [tensor.reshape(-1, length) for tensor in tensors]
    zero = None if origin is None else origin.reshape(-1, length)
    step = max(1, _BLOCK // max(length, 1))
    blocks = [slice(start, start + step) for start in range(0, max(len(rows[0]), 1), step)]
    found = [_products([part[block] for part in rows], None if zero is None else zero[block]) for block in blocks]
    return np.concatenate(found).reshape(*tensors[0].shape[:-1], len(tensors), len(tensors))


def _products(tensors: Sequence[torch.Tensor], origin: torch.Tensor | None) -> npt.NDArray[np.float64]:
    """From shape (rows, n) each to (rows, k, k)."""
    rows = torch.stack([tensor.double() for tensor in tensors], dim=1)
    if origin is not None:
        rows -= origin.double().unsqueeze(1)
    result: npt.NDArray[np.float64] = (rows @ rows.transpose(1, 2)).cpu().numpy()
    return result
