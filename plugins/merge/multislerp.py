"""Multi-SLERP: the normalised mean of the models' directions, with the mean of their lengths (Goddard, 2024)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ...core.contracts import MergeParameters, OnePassMethod, ParameterSpec
from ...core.forms import Form, WeightedSum
from .inner_products import inner_products
from .task_vectors import weighted

_ROUNDING = 1e-7
"""A mean of unit vectors that is shorter consists of float32's rounding errors."""


class MultiSlerp(OnePassMethod):
    """m / |m| * sum_i w_i |x_i|, where m = sum_i w_i x_i / |x_i|.

    With a base, it is added to what so becomes of the task vectors. The author goes on from m / |m| along the weighted
    mean of the directions' projections onto the tangent space there, but that mean is zero: it is the part of m that is
    orthogonal to m. Where the directions cancel, tensors are interpolated linearly (mergekit does so with two, and
    refuses to merge three or more). A single source is itself.

    `weight` of each source; `normalize_weights` (default true) divides them by their sum; `eps` (default 1e-8) is added
    to the lengths that are divided by.
    """

    name = "multislerp"
    parameters = (
        ParameterSpec("weight", "source", search=(0.0, 1.0)),
        ParameterSpec("normalize_weights", "shared", default=True),
        ParameterSpec("eps", "shared", default=1e-8),
    )
    base_required = False
    base_optional = True
    keeps_base = True
    paper = "https://goddard.blog/posts/multislerp-wow-what-a-cool-idea"

    def prepare(self, base: torch.Tensor | None, sources: Sequence[torch.Tensor]) -> Any:
        """The inner products of the tensors (or task vectors)."""
        return inner_products(sources, base)

    def form(self, base: torch.Tensor | None, sources: Sequence[torch.Tensor], parameters: MergeParameters) -> Form:
        """One weight for each tensor."""
        if len(sources) == 1:
            return WeightedSum((1.0,))
        products = self.prepare(base, sources) if parameters.prepared is None else parameters.prepared
        weights = np.array(parameters.per_source["weight"])
        if parameters.shared["normalize_weights"]:
            weights = weights / total if (total := weights.sum()) else np.full_like(weights, np.nan)
        return weighted(_weights(products, weights, float(parameters.shared["eps"])), base is not None)


def _weights(products: Any, weights: Any, eps: float) -> Any:
    norms = np.sqrt(np.diag(products))
    directions = weights / (norms + eps)
    length = math.sqrt(max(directions @ products @ directions, 0.0))
    if length < max(eps, _ROUNDING):
        return weights
    return directions / length * (norms @ weights)
