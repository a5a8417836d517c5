"""TSV-Merge: each task matrix's leading singular vectors, made orthogonal to the others' (Gargiulo et al., 2025)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ...core.contracts import MergeParameters, ParameterSpec
from .spectral import SpectralMethod, nearest_orthogonal, singular_triples
from .task_vectors import LAMBDA, WEIGHT


class Tsv(SpectralMethod):
    """base + lambda * U S V^T, with U and V^T the orthogonalised left and right singular vectors of all task matrices.

    Of each of k weighted task matrices min(rows, columns) / k leading singular triples are kept (at least one). Their
    left vectors are set side by side and replaced by the nearest orthonormal ones (Procrustes), the right vectors
    likewise; the singular values S stay. Tensors that are not 2-d are averaged.

    `weight` of each source (1 in the paper); `rank_fraction` (default 1, as in the paper): the part of its min(rows,
    columns) / k triples that each source really keeps; `lambda` (1 in the paper). Singular vectors that several sources
    have exactly in common are shared between them; the authors' code would fill up with arbitrary directions.

    Costs k + 2 singular value decompositions per matrix, O(rows * columns * min(rows, columns)) each: a second or more
    for each of 2048 x 2048 on a CPU core, so it is for small models, GPUs and final exports.
    """

    name = "tsv"
    parameters = (
        WEIGHT,
        ParameterSpec("rank_fraction", "shared", default=1.0, search=(0.1, 1.0), low=0.0, high=1.0),
        LAMBDA,
    )
    paper = "https://arxiv.org/abs/2412.00081"

    def mix(self, changes: Sequence[torch.Tensor], parameters: MergeParameters) -> torch.Tensor:
        """See `SpectralMethod.mix`."""
        fraction = float(parameters.shared["rank_fraction"])
        count = max(1, int(fraction * min(changes[0].shape) / len(changes)))
        parts = [singular_triples(change, count) for change in changes]
        left = nearest_orthogonal(torch.cat([part.left for part in parts], dim=1))
        right = nearest_orthogonal(torch.cat([part.right for part in parts], dim=0))
        return (left * torch.cat([part.values for part in parts])) @ right
