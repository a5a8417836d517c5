"""Karcher mean: the mean of the models' directions on the sphere, with the mean of their lengths (Karcher, 1977)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ...core.contracts import MergeParameters, OnePassMethod, ParameterSpec
from ...core.forms import WeightedSum
from .inner_products import inner_products

_SMALLEST_SINE = 1e-6


class Karcher(OnePassMethod):
    """m * mean_i |x_i|, where the unit vector m has the least mean square of the angles to all x_i.

    m is found by steps along the mean of the logarithms, from the normalised mean of the directions: with a_i the angle
    between m and u_i = x_i / |x_i|, t = mean_i a_i / sin(a_i) (u_i - cos(a_i) m), m <- cos|t| m + sin|t| t / |t|.

    `max_iter` (default 10): the most steps; `tol` (default 1e-5): a step that is shorter is the last, tensors that are
    shorter have no direction, and angles that are smaller are zero.
    """

    name = "karcher"
    parameters = (
        ParameterSpec("max_iter", "shared", default=10, low=0),
        ParameterSpec("tol", "shared", default=1e-5, low=0.0),
    )
    base_required = False
    paper = "https://arxiv.org/abs/2603.04972"

    def prepare(self, base: torch.Tensor | None, sources: Sequence[torch.Tensor]) -> Any:
        """The inner products of the tensors."""
        return inner_products(sources)

    def form(
        self, base: torch.Tensor | None, sources: Sequence[torch.Tensor], parameters: MergeParameters
    ) -> WeightedSum:
        """One weight for each tensor; the steps are taken among the weights."""
        if len(sources) == 1:
            return WeightedSum((1.0,))
        products = self.prepare(base, sources) if parameters.prepared is None else parameters.prepared
        tolerance = float(parameters.shared["tol"])
        norms = np.sqrt(np.diag(products))
        weights = np.zeros(len(norms))
        valid = np.flatnonzero(norms > tolerance)
        if len(valid):
            cosines = products[np.ix_(valid, valid)] / np.outer(norms[valid], norms[valid])
            mean = karcher_mean(cosines, int(parameters.shared["max_iter"]), tolerance)
            weights[valid] = mean / norms[valid] * norms.mean()
        return WeightedSum(tuple(map(float, weights)))


def karcher_mean(cosines: Any, steps: int, tolerance: float) -> Any:
    """The Karcher mean of unit vectors as weights of them, shape (k,), from their inner products (k, k)."""

    def length(weights: Any) -> float:
        return math.sqrt(max(weights @ cosines @ weights, 0.0))

    count = len(cosines)
    mean = np.full(count, 1 / count)
    mean = mean / length(mean) if length(mean) >= tolerance else np.eye(count)[0]
    for _ in range(steps):
        dots = np.clip(cosines @ mean, -1, 1)
        angles = np.arccos(dots)
        # Towards what lies opposite every way is as short, so it has no say (its sine would be rounding error).
        counted = (angles >= tolerance) & (np.sin(angles) > _SMALLEST_SINE)
        pulls = np.where(counted, angles / np.sin(np.where(counted, angles, 1.0)), 0.0) / count
        tangent = pulls - (pulls @ dots) * mean
        step = length(tangent)
        if step < tolerance:
            break
        mean = math.cos(step) * mean + math.sin(step) / step * tangent
        mean = mean / length(mean)
    return mean
