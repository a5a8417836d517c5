"""RegMean: linear layers that come closest to every source's outputs on its own inputs (Jin et al., 2023)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ...core.contracts import MergeParameters, OnePassMethod, ParameterSpec
from ...core.forms import WeightedSum

_LARGEST_ALPHA = 1 - 1e-4
"""Beyond it, the rounding of float32 statistics would decide in directions that no input took."""


class RegMean(OnePassMethod):
    """(sum_i w_i G_i)^-1 sum_i w_i G_i x_i over linear layers' transposed weights x_i; elsewhere the weighted mean.

    G_i is the mean of the outer products of the layer's inputs (statistics `gram`), with its off-diagonal scaled by
    `alpha` (default 0.9): the merged layer has the least squared error, summed over the sources' inputs, to their
    outputs, exactly so if alpha is 1; at 0 each input feature counts by its mean square alone. `weight` of each source
    (default 1).

    Solved as a correction to the weighted mean, which features that were never seen keep. For out x in weights and k
    sources it takes in^3/3 + (k + 1) in^2 out multiply-adds in float32, or float64 for such tensors: seconds, not
    milliseconds, for a whole small model on a CPU.
    """

    name = "regmean"
    parameters = (
        ParameterSpec("weight", "source", default=1.0, search=(0.0, 1.0), low=0.0),
        ParameterSpec("alpha", "shared", default=0.9, search=(0.0, 1.0), low=0.0, high=1.0),
    )
    base_required = False
    needs_statistics = "gram"
    paper = "https://arxiv.org/abs/2212.09849"

    def form(
        self, base: torch.Tensor | None, sources: Sequence[torch.Tensor], parameters: MergeParameters
    ) -> WeightedSum | None:
        """The weighted mean where there are no statistics; not finite if all weights are zero."""
        return None if parameters.statistics else WeightedSum(_shares(parameters))

    def merge(
        self, base: torch.Tensor | None, sources: Sequence[torch.Tensor], parameters: MergeParameters
    ) -> torch.Tensor:
        """The merged tensor; see `form` for tensors without statistics."""
        shares, grams = _shares(parameters), parameters.statistics
        work = torch.float64 if sources[0].dtype == torch.float64 else torch.float32
        wide = [source.to(work) for source in sources]
        mean = WeightedSum(shares).apply(None, wide)
        if grams and mean.isfinite().all():
            mean += _correction([source - mean for source in wide], grams, shares, float(parameters.shared["alpha"]))
        return mean.to(sources[0].dtype)


def _shares(parameters: MergeParameters) -> tuple[float, ...]:
    weights = parameters.per_source["weight"]
    total = sum(weights)
    return tuple(weight / total if total else float("nan") for weight in weights)


def _correction(
    changes: Sequence[torch.Tensor], grams: Sequence[torch.Tensor], shares: Sequence[float], alpha: float
) -> torch.Tensor:
    """sum_i w_i c_i G_i (sum_i w_i G_i)^-1, with features scaled so that the sum has a diagonal of ones."""
    like = changes[0]
    matrix = torch.zeros(like.shape[1], like.shape[1], dtype=like.dtype, device=like.device)
    wanted = torch.zeros_like(like)
    alpha = min(alpha, _LARGEST_ALPHA)
    for change, gram, share in zip(changes, grams, shares, strict=True):
        scaled = _shrunk(gram.to(like.device, like.dtype) * share, alpha)
        matrix += scaled
        wanted.addmm_(change, scaled)
    diagonal = matrix.diagonal().clone()
    scale = torch.where(diagonal > 0, diagonal, 1).rsqrt()
    matrix.mul_(scale).mul_(scale[:, None]).fill_diagonal_(1.0)
    factor, failed = torch.linalg.cholesky_ex(matrix)
    keep = 1.0
    while failed and keep:  # rounding made it indefinite; without an off-diagonal it never is
        keep = keep * 0.9 if keep > 0.1 else 0.0
        factor, failed = torch.linalg.cholesky_ex(_shrunk(matrix.clone(), keep))
    return torch.cholesky_solve(wanted.mul_(scale).T, factor).T * scale


def _shrunk(matrix: torch.Tensor, alpha: float) -> torch.Tensor:
    """The matrix, changed in place: its off-diagonal times `alpha`."""
    diagonal = matrix.diagonal().clone()
    matrix *= alpha
    matrix.diagonal().copy_(diagonal)
    return matrix
