"""SLERP: along the great circle between two models (Shoemake, 1985)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from ...core.contracts import MergeParameters, OnePassMethod, ParameterSpec
from ...core.forms import WeightedSum
from .inner_products import inner_products

_COLLINEAR = 0.9995
_SMALLEST_NORM = 1e-8


class Slerp(OnePassMethod):
    """sin((1-t) a)/sin(a) * base + sin(t a)/sin(a) * source, with a the angle between the two tensors.

    `t` in [0, 1]: 0 is the base, 1 the source. Tensors that are nearly collinear are interpolated linearly.
    """

    name = "slerp"
    parameters = (ParameterSpec("t", "shared", search=(0.0, 1.0)),)
    source_count = (1, 1)
    paper = "https://dl.acm.org/doi/10.1145/325334.325242"

    def prepare(self, base: torch.Tensor | None, sources: Sequence[torch.Tensor]) -> Any:
        """The inner products of the two tensors."""
        assert base is not None
        return inner_products([base, *sources])

    def form(
        self, base: torch.Tensor | None, sources: Sequence[torch.Tensor], parameters: MergeParameters
    ) -> WeightedSum:
        """Interpolates; norms and angle are taken over the whole tensor."""
        products = self.prepare(base, sources) if parameters.prepared is None else parameters.prepared
        norms = [math.sqrt(products[number, number]) for number in (0, 1)]
        lengths = [norm if norm > _SMALLEST_NORM else 1.0 for norm in norms]
        cosine = min(max(products[0, 1] / (lengths[0] * lengths[1]), -1.0), 1.0)
        t = float(parameters.shared["t"])
        if abs(cosine) > _COLLINEAR:
            return WeightedSum((t,), 1 - t)
        angle = math.acos(cosine)
        return WeightedSum((math.sin(t * angle) / math.sin(angle),), math.sin((1 - t) * angle) / math.sin(angle))
