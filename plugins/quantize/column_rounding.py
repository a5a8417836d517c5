"""Rounding column after column, each error made up for by the columns that follow: the loop inside GPTQ and its kin.

GPTQ (Frantar et al., 2022) is Babai's nearest plane algorithm (Chen et al., 2025, arXiv:2507.18553), and so it is
written here: with H = R R^T, R upper triangular, the j-th column is rounded after the errors w_i - q_i of those before
it were added to it, each times R_ij / R_jj. The original's factor of the inverse gives the same, but needs an inverse.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch

from ...core.errors import MaterialiseError

_MOST_DAMPING = 1e3
"""Times the mean of the diagonal: beyond it H is no more than that mean."""


class ColumnChoice(ABC):
    """What a column's values become. `first` and `column` count in the order in which columns are rounded."""

    def begin(self, first: int, values: torch.Tensor) -> None:  # noqa: B027  (most have nothing to prepare)
        """Told the values of the block that starts at column `first`, shape (n, out), before any of it is rounded."""

    def round_block(
        self, first: int, columns: torch.Tensor, values: torch.Tensor, shares: torch.Tensor, errors: torch.Tensor
    ) -> bool:
        """Rounds a whole block at once, if it knows how; else returns False and has done nothing.

        Args:
            columns, values: of the block, shape (n, out), without and with the errors of the columns before it; the
                latter may be written into.
            shares: shape (n, n), of the error of column i that column j takes.
            errors: to be written, shape (n, out).
        """
        return False

    @abstractmethod
    def choose(self, column: int, values: torch.Tensor) -> torch.Tensor:
        """What these values, float32, shape (out,), become: also float32, one of the values that can be stored."""


def round_columns(columns: torch.Tensor, factor: torch.Tensor, choice: ColumnChoice, block: int = 128) -> torch.Tensor:
    """Rounds all columns in turn.

    Args:
        columns: the weight transposed, its columns in the order wanted: float32, shape (in, out).
        factor: of H in the same order, from `triangular_factor`.
        choice: keeps what it chose.
        block: columns whose errors are added to those after them at once; it changes rounding errors only.

    Returns:
        The errors, weight less what was chosen, shape (in, out).
    """
    errors = torch.empty_like(columns)
    shares = factor / factor.diagonal()
    for first in range(0, len(columns), block):
        last = min(first + block, len(columns))
        plain = columns[first:last]
        values = torch.addmm(plain, shares[:first, first:last].T, errors[:first]) if first else plain.clone()
        choice.begin(first, values)
        own = shares[first:last, first:last]
        if choice.round_block(first, columns[first:last], values, own, errors[first:last]):
            continue
        for number, column in enumerate(range(first, first + len(values))):
            before = errors[first:column]
            value = (
                values[number] if not number else torch.addmv(values[number], before.T, shares[first:column, column])
            )
            torch.sub(columns[column], choice.choose(column, value), out=errors[column])
    return errors


def triangular_factor(gram: torch.Tensor, damping: float) -> torch.Tensor:
    """R, upper triangular with a positive diagonal, so that R R^T is the gram matrix with its diagonal raised.

    Features that were never seen, where the diagonal is 0, get a 1 there: their columns are rounded to the nearest.

    Args:
        gram: float32, shape (n, n).
        damping: what the diagonal is raised by, in units of its mean; more if rounding makes it indefinite.

    Raises:
        MaterialiseError: the matrix is not finite, or far from positive semidefinite.
    """
    diagonal = gram.diagonal()
    if not gram.isfinite().all() or (diagonal < 0).any():
        raise MaterialiseError(
            "the second moments of a layer's inputs are not finite or negative; gather the calibration statistics "
            "again, from texts on which the model's activations stay finite"
        )
    raised = gram.clone()
    raised.diagonal()[diagonal == 0] = 1.0
    mean = raised.diagonal().mean().item()
    while damping <= _MOST_DAMPING:
        for dtype in (torch.float32, torch.float64):
            matrix = raised.to(dtype).flip(0, 1)
            matrix.diagonal().add_(damping * mean)
            lower, failed = torch.linalg.cholesky_ex(matrix)
            if not failed and lower.isfinite().all():
                return torch.flip(lower, (0, 1)).float()
        damping = max(10 * damping, 1e-3)
    raise MaterialiseError(
        "the second moments of a layer's inputs are not positive semidefinite; gather the calibration statistics again"
    )


def order_of(gram: torch.Tensor, act_order: bool) -> torch.Tensor:
    """In which order columns are rounded: as they come, or in falling order of their inputs' mean square."""
    if act_order:
        return gram.diagonal().argsort(descending=True, stable=True)
    return torch.arange(len(gram), device=gram.device)


def in_order(
    weight: torch.Tensor, gram: torch.Tensor, order: torch.Tensor, damping: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """What `round_columns` takes: the weight's columns in this order, and the factor of the gram matrix."""
    return weight.T[order].contiguous(), triangular_factor(gram[order][:, order], damping)


def proxy_loss(weight: torch.Tensor, quantized: torch.Tensor, gram: torch.Tensor) -> float:
    """tr((W - Q) H (W - Q)^T): with the gram matrix for H, the mean squared error of the outputs, summed over them.

    Args:
        weight, quantized: shape (out, in); any floating dtype.
        gram: shape (in, in).
    """
    error = (weight.double() - quantized.double()).to(gram.device)
    return float(((error @ gram.double()) * error).sum())


def check_gram(gram: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """The gram matrix in float32 on the weight's device. Raises MaterialiseError if it is of another layer."""
    inputs = weight.shape[1]
    if tuple(gram.shape) != (inputs, inputs):
        raise MaterialiseError(
            f"the calibration is of a layer with {gram.shape[-1]} inputs, but the weight has {inputs}; gather the "
            "statistics on a model of this architecture"
        )
    return gram.to(weight.device, torch.float32)
