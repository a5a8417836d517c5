"""Arcee Fusion: only the changes that matter most are taken over (Arcee AI, 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ...core.contracts import MergeMethod, MergeParameters

_EPSILON = 1e-8
_OUTLIER = 1.5


class ArceeFusion(MergeMethod):
    """The source where an element's importance is an outlier, else the base.

    An element's importance is |source - base| times the Kullback-Leibler divergence of its row's softmax, source from
    base; an outlier is at least the median plus 1.5 interquartile ranges (Tukey, 1977). Quartiles are exact, where
    mergekit draws a sample of tensors with more than a million elements.
    """

    name = "arcee_fusion"
    source_count = (1, 1)
    keeps_base = True
    paper = "https://github.com/arcee-ai/mergekit/blob/main/docs/merge_methods.md"

    def prepare(self, base: torch.Tensor | None, sources: Sequence[torch.Tensor]) -> Any:
        """The importance from which on an element is an outlier."""
        assert base is not None
        return outlier_threshold(importance(base, sources[0]))

    def merge(
        self, base: torch.Tensor | None, sources: Sequence[torch.Tensor], parameters: MergeParameters
    ) -> torch.Tensor:
        """Picks each element from one of the two; importance is computed in float32 at least."""
        assert base is not None
        scores = importance(base, sources[0])
        threshold = outlier_threshold(scores) if parameters.prepared is None else parameters.prepared
        return torch.where(scores >= threshold, sources[0], base)


def importance(base: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    """The importance of each element of `source`, in float32 at least."""
    work = torch.promote_types(base.dtype, torch.float32)
    start, end = base.to(work), source.to(work)
    before, after = start.softmax(-1).add_(_EPSILON), end.softmax(-1).add_(_EPSILON)
    divergence = (after / before).log_().mul_(after).sum(-1, keepdim=True)
    return (end - start).abs_().mul_(divergence)


def outlier_threshold(scores: torch.Tensor) -> float:
    """Median plus 1.5 interquartile ranges; a quartile is the value at the place below, in order of size."""
    values = scores.reshape(-1).cpu().numpy()
    if not values.size:
        return 0.0
    places = [int(share * (values.size - 1)) for share in (0.25, 0.5, 0.75)]
    lower, median, upper = np.partition(values, places)[places]
    return float(median + values.dtype.type(_OUTLIER) * (upper - lower))
