"""Fisher-weighted mean: a weight counts as much as its source's likelihood depends on it (Matena & Raffel, 2022)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ...core.contracts import MergeMethod, MergeParameters, ParameterSpec

_FLOOR = 1e-6
"""Of the tensor's mean statistic: where all sources have less, as for tokens in no text, they count alike."""


class Fisher(MergeMethod):
    """sum_i w_i F_i x_i / sum_i w_i F_i, element by element, in float32 at least.

    F_i is the source's diagonal Fisher information (statistics `fisher`), raised to a millionth of its mean over the
    tensor and the sources; without statistics all count alike. `weight` of each source (default 1).
    """

    name = "fisher"
    parameters = (ParameterSpec("weight", "source", default=1.0, search=(0.0, 1.0), low=0.0),)
    base_required = False
    needs_statistics = "fisher"
    paper = "https://arxiv.org/abs/2111.09832"

    def merge(
        self, base: torch.Tensor | None, sources: Sequence[torch.Tensor], parameters: MergeParameters
    ) -> torch.Tensor:
        """The weighted mean; not finite if all weights are zero."""
        work = torch.float64 if sources[0].dtype == torch.float64 else torch.float32
        statistics = parameters.statistics
        unit = sum(float(matrix.mean(dtype=torch.float64)) for matrix in statistics) / max(len(statistics), 1)
        total = torch.zeros_like(sources[0], dtype=work)
        divisor = torch.zeros_like(total)
        for number, (source, weight) in enumerate(zip(sources, parameters.per_source["weight"], strict=True)):
            importance = torch.full_like(total, weight)
            if unit > 0:
                importance.mul_((statistics[number].to(total.device, work) / unit).clamp_(min=_FLOOR))
            total.addcmul_(importance, source.to(work))
            divisor.add_(importance)
        return total.div_(divisor).to(sources[0].dtype)
