"""What the methods share that merge the singular value decompositions of task matrices (2-d task vectors)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import scipy.linalg
import torch

from ...core.contracts import MergeMethod, MergeParameters

_LONG = 4


class SpectralMethod(MergeMethod):
    """base + lambda * mix(w_1 t_1, ..., w_k t_k) of the task vectors t_i for 2-d tensors; for others mix is the mean.

    That is what the authors of TSV and of Iso do with norms and biases. Embeddings are matrices like any other here:
    the vision encoders of these papers have none, but their authors' code decomposes every 2-d tensor of the encoder.
    Everything is computed in float32 at least. Values that are not finite have no decomposition: they are averaged too,
    so that they show in the result.
    """

    keeps_base = True

    def merge(
        self, base: torch.Tensor | None, sources: Sequence[torch.Tensor], parameters: MergeParameters
    ) -> torch.Tensor:
        """The base plus the mixed task vectors."""
        assert base is not None
        origin = base.to(torch.promote_types(base.dtype, torch.float32))
        weights = parameters.per_source["weight"]
        changes = [(source.to(origin.dtype) - origin) * weight for source, weight in zip(sources, weights, strict=True)]
        is_matrix = base.dim() == 2 and all(bool(change.isfinite().all()) for change in changes)
        mixed = self.mix(changes, parameters) if is_matrix else sum(changes[1:], changes[0]) / len(changes)
        return (origin + mixed * float(parameters.shared["lambda"])).to(base.dtype)

    @abstractmethod
    def mix(self, changes: Sequence[torch.Tensor], parameters: MergeParameters) -> torch.Tensor:
        """One matrix from the weighted task matrices, all of shape (rows, columns), finite, in float32 at least."""


class Triples(NamedTuple):
    """Singular triples, largest value first: `left` (rows, k), `values` (k,), `right` (k, columns)."""

    left: torch.Tensor
    values: torch.Tensor
    right: torch.Tensor


def singular_triples(matrix: torch.Tensor, count: int | None = None, floor: float | None = None) -> Triples:
    """The leading singular triples of a matrix (rows, columns).

    Args:
        count: at most so many; all if None.
        floor: values up to this are no directions of the matrix but rounding; `rounding(matrix)` if None.
    """
    left, values, right = _decomposed(matrix)
    kept = int((values > (rounding(matrix) if floor is None else floor)).sum())
    kept = kept if count is None else min(kept, count)
    return Triples(left[:, :kept], values[:kept], right[:kept])


def rounding(matrix: torch.Tensor) -> float:
    """How large singular values may be by rounding alone, in a matrix of this norm."""
    return 4 * torch.finfo(matrix.dtype).eps * float(torch.linalg.matrix_norm(matrix))


def nearest_orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    """The matrix with its singular values set to one: the nearest with orthonormal columns (rows, if they are fewer).

    Directions that the matrix lacks stay lacking: how to complete them would be the linear algebra library's whim.
    """
    left, _, right = singular_triples(matrix)
    return left @ right


def _decomposed(matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """As torch.linalg.svd without full matrices; embeddings shrink to their short side first, which is exact."""
    rows, columns = matrix.shape
    if rows < columns:
        left, values, right = _decomposed(matrix.T)
        return right.T, values, left.T
    if rows < _LONG * columns:
        return _svd(matrix)
    span, small = torch.linalg.qr(matrix)
    left, values, right = _svd(small)
    return span @ left, values, right


def _svd(matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    try:
        return tuple(torch.linalg.svd(matrix, full_matrices=False))
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
        # divide and conquer may give up on many equal singular values; the older, slower algorithm does not
        left, values, right = scipy.linalg.svd(
            matrix.double().cpu().numpy(), full_matrices=False, lapack_driver="gesvd"
        )
        return (
            torch.from_numpy(left).to(matrix),
            torch.from_numpy(values).to(matrix),
            torch.from_numpy(right).to(matrix),
        )
