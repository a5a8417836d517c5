"""The matrix of low rank that comes closest to another where it counts: for inputs with given second moments."""

from __future__ import annotations

import torch

_MORE = 8
_ROUNDS = 4


def closest(error: torch.Tensor, factor: torch.Tensor | None, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """left (out, rank) and right (rank, in) for which |(error - left right) R|_F is least.

    In the space where inputs are white, error R, that is the truncated singular value decomposition (Eckart & Young).
    Of large matrices, leading directions are found by subspace iteration (Halko et al., 2011), always from one start.

    Args:
        error: float32, shape (out, in).
        factor: R, upper triangular, with R R^T the second moments; None: all inputs count the same.
    """
    white = error if factor is None else error @ factor
    left, right = leading(white, rank)
    if factor is not None:
        right = torch.linalg.solve_triangular(factor, right, upper=True, left=False)
    return left, right


def leading(matrix: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Orthonormal left (rows, rank) and right (rank, columns): the product is what they keep of the matrix."""
    rows, columns = matrix.shape
    if min(rows, columns) <= 4 * (rank + _MORE):
        found = torch.linalg.svd(matrix, full_matrices=False).U[:, :rank]
        return found, found.T @ matrix
    start = torch.randn(columns, rank + _MORE, generator=torch.Generator().manual_seed(0)).to(matrix)
    basis = torch.linalg.qr(matrix @ start).Q
    for _ in range(_ROUNDS):
        basis = torch.linalg.qr(matrix @ (matrix.T @ basis)).Q
    small = basis.T @ matrix
    turned = torch.linalg.eigh(small @ small.T).eigenvectors[:, -rank:].flip(1)
    return basis @ turned, turned.T @ small
