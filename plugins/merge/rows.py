"""Weighted sums in which each row of a tensor has weights of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch


def row_weighted_sum(
    tensors: Sequence[torch.Tensor], weights: npt.NDArray[np.float64], base: torch.Tensor | None = None
) -> torch.Tensor:
    """sum_i w_i x_i, or base + sum_i w_i (x_i - base), summed in float32 at least.

    Args:
        tensors: k tensors of shape (..., n).
        weights: of shape (k, ...): for each tensor one for each row.
    """
    work = torch.promote_types(tensors[0].dtype, torch.float32)
    rows = torch.from_numpy(weights).to(tensors[0].device).unsqueeze(-1)
    total = torch.zeros_like(tensors[0], dtype=work)
    origin = None if base is None else base.to(work)
    for tensor, weight in zip(tensors, rows.to(work), strict=True):
        total += weight * (tensor if origin is None else tensor - origin)
    return (total if origin is None else total + origin).to(tensors[0].dtype)
