"""Inner products of tensors, which is all that many methods need to know of them to tell the weights of a sum."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

_BLOCK = 1 << 20


def inner_products(tensors: Sequence[torch.Tensor], origin: torch.Tensor | None = None) -> npt.NDArray[np.float64]:
    """The Gram matrix <x_i - origin, x_j - origin>, shape (k, k), over all elements (of any shape).

    Products are taken in float32 (float64 for float64) over blocks whose results are added in float64.
    """
    work = torch.float64 if tensors[0].dtype == torch.float64 else torch.float32
    flat = [tensor.reshape(-1) for tensor in tensors]
    zero = None if origin is None else origin.reshape(-1)
    products = torch.zeros(len(flat), len(flat), dtype=torch.float64, device=flat[0].device)
    for start in range(0, flat[0].numel(), _BLOCK):
        rows = torch.stack([part[start : start + _BLOCK].to(work) for part in flat])
        if zero is not None:
            rows -= zero[start : start + _BLOCK].to(work)
        products += rows @ rows.T
    result: npt.NDArray[np.float64] = products.cpu().numpy()
    return result
