"""Isotropic merging: a sum of task matrices whose singular values are all made equal (Marczak et al., 2025)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ...core.contracts import MergeParameters, ParameterSpec
from .spectral import SpectralMethod, Triples, nearest_orthogonal, rounding, singular_triples
from .task_vectors import LAMBDA, WEIGHT


class IsoC(SpectralMethod):
    """base + lambda * mean(S) * U V^T, with U S V^T the sum of the weighted task matrices (common subspace).

    `weight` of each source (1 in the paper); `lambda` (tuned in the paper, about 1). The mean is over the directions
    that the sum has: as in the paper if its rank is full; where it is not, nothing is put into directions that no task
    has. Tensors that are not 2-d are averaged. A single source is flattened as well.

    Costs one singular value decomposition per matrix, O(rows * columns * min(rows, columns)).
    """

    name = "iso_c"
    parameters = (WEIGHT, LAMBDA)
    paper = "https://arxiv.org/abs/2502.04959"

    def mix(self, changes: Sequence[torch.Tensor], parameters: MergeParameters) -> torch.Tensor:
        """See `SpectralMethod.mix`."""
        left, values, right = singular_triples(_sum(changes))
        return (left @ right) * _mean(values)


class IsoCts(SpectralMethod):
    """As `iso_c`, but the sum's weakest directions make room for each task's own (common and task-specific subspaces).

    Of r = min(rows, columns) directions, about `common_space_fraction` * r are the sum's strongest; the others are
    shared out evenly: for each source the strongest directions of its task matrix without the part in the span of the
    common left singular vectors. All are orthogonalised together (Procrustes, as in TSV-Merge) and given the mean of
    their singular values.

    `weight` of each source (1 in the paper); `common_space_fraction` (default 0.8, as in the paper; 1 is `iso_c`);
    `lambda`. Tensors that are not 2-d are averaged.

    Costs k + 3 singular value decompositions per matrix for k sources.
    """

    name = "iso_cts"
    parameters = (
        WEIGHT,
        ParameterSpec("common_space_fraction", "shared", default=0.8, search=(0.0, 1.0), low=0.0, high=1.0),
        LAMBDA,
    )
    paper = "https://arxiv.org/abs/2502.04959"

    def mix(self, changes: Sequence[torch.Tensor], parameters: MergeParameters) -> torch.Tensor:
        """See `SpectralMethod.mix`."""
        fraction = float(parameters.shared["common_space_fraction"])
        common_size, own_size = sizes(min(changes[0].shape), len(changes), fraction)
        common = singular_triples(_sum(changes), common_size)
        parts = [common, *(_own(change, common, own_size) for change in changes)]
        left = nearest_orthogonal(torch.cat([part.left for part in parts], dim=1))
        right = nearest_orthogonal(torch.cat([part.right for part in parts], dim=0))
        return (left @ right) * _mean(torch.cat([part.values for part in parts]))


def sizes(rank: int, count: int, fraction: float) -> tuple[int, int]:
    """How many of `rank` directions are common and how many are each source's own, so that all of them are used."""
    own = min(round((rank - int(rank * fraction)) / count), rank // count)
    return rank - own * count, own


def _own(change: torch.Tensor, common: Triples, count: int) -> Triples:
    rest = change - common.left @ (common.left.T @ change)
    return singular_triples(rest, count, rounding(change))


def _sum(changes: Sequence[torch.Tensor]) -> torch.Tensor:
    return sum(changes[1:], changes[0])


def _mean(values: torch.Tensor) -> torch.Tensor:
    return values.sum() / max(1, values.numel())
