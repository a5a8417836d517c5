"""SCE: select elements by variance, calculate weights from energy, erase what disagrees (Wan et al., 2024)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ...core.contracts import MergeMethod, MergeParameters, ParameterSpec
from .changes import add_changes, changes

_SMALLEST_ENERGY = 1e-6
_SMALLEST_DIVISOR = 1e-6


class Sce(MergeMethod):
    """base + sum_i w_i t_i / sum_i w_i at each element, over the sources that have the sign of sum_i t_i there.

    t_i is the task vector, zero except at the share `select_topk` (default 1) of elements (of those that differ between
    sources) with the largest variance over the sources; w_i is in proportion to the mean square of t_i, equal if these
    sum to less than 1e-6.
    """

    name = "sce"
    parameters = (ParameterSpec("select_topk", "shared", default=1.0, search=(0.1, 1.0), low=0.0, high=1.0),)
    keeps_base = True
    paper = "https://arxiv.org/abs/2408.07990"

    def merge(
        self, base: torch.Tensor | None, sources: Sequence[torch.Tensor], parameters: MergeParameters
    ) -> torch.Tensor:
        """Weights in one pass over the data, the sum in another; both in float32 at least."""
        assert base is not None
        lowest = _lowest_variance(base, sources, float(parameters.shared["select_topk"]))
        energies = torch.zeros(len(sources), dtype=torch.float64, device=base.device)
        for _, change in changes(base, sources):
            energies += _selected(change, lowest).square().sum(1, dtype=torch.float64)
        weights = _weights(energies / max(base.numel(), 1))

        def mean(change: torch.Tensor) -> torch.Tensor:
            kept = _selected(change, lowest)
            agrees = torch.where(kept.sum(0) >= 0, kept > 0, kept < 0)
            shares = agrees * weights.to(kept.dtype).unsqueeze(1)
            return (kept * shares).sum(0) / shares.sum(0).clamp(min=_SMALLEST_DIVISOR)

        return add_changes(base, ((part, mean(change)) for part, change in changes(base, sources)))


def _lowest_variance(base: torch.Tensor, sources: Sequence[torch.Tensor], share: float) -> float:
    """The smallest variance that is selected. Elements of exactly this variance are all selected, as in TIES here."""
    if share >= 1:
        return 0.0
    values = np.concatenate([_variance(change).cpu().numpy() for _, change in changes(base, sources)] or [np.empty(0)])
    count = int(np.count_nonzero(values) * np.float32(share))  # mergekit's precision, for the same number
    return float(np.partition(values, values.size - count)[values.size - count]) if count else float("inf")


def _variance(change: torch.Tensor) -> torch.Tensor:
    return change.var(0, correction=0)


def _selected(change: torch.Tensor, lowest: float) -> torch.Tensor:
    return change if lowest == 0 else change * (_variance(change) >= lowest)


def _weights(energies: torch.Tensor) -> torch.Tensor:
    total = energies.sum()
    return energies / total if total >= _SMALLEST_ENERGY else torch.full_like(energies, 1 / len(energies))
