"""TIES: trim, elect sign and merge (Yadav et al., 2023)."""

from __future__ import annotations

import math

import torch

from ...core.contracts import MergeParameters, ParameterSpec
from .magnitudes import Magnitudes, kept_largest
from .task_vectors import DENSITY, LAMBDA, WEIGHT
from .trimming import TrimmingMethod


class Ties(TrimmingMethod):
    """Task vectors are trimmed to their largest elements, then summed where they agree with the elected sign.

    `weight` and `density` (share of elements kept, default 1) of each source; `normalize` (default true); `rescale`
    (default false) gives the kept elements the l1 norm of the whole; `lambda`.
    """

    name = "ties"
    parameters = (
        WEIGHT,
        DENSITY,
        ParameterSpec("normalize", "shared", default=True),
        ParameterSpec("rescale", "shared", default=False),
        LAMBDA,
    )
    consensus = True
    paper = "https://arxiv.org/abs/2306.01708"

    def thresholds(
        self, parameters: MergeParameters, number: int, known: Magnitudes, base: torch.Tensor, source: torch.Tensor
    ) -> tuple[float, float]:
        """Those of the largest share `density`."""
        return kept_largest(parameters.per_source["density"][number], known, base, source), math.inf
