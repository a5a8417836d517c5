"""NuSLERP: along the great circle between two models, or between two task vectors (Goddard, mergekit, 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ...core.contracts import MergeParameters, OnePassMethod, ParameterSpec
from ...core.forms import Form
from .inner_products import inner_products, row_inner_products
from .rows import row_weighted_sum
from .task_vectors import weighted

_SMALLEST_TOTAL = 1e-6
_SMALLEST_NORM = 1e-7
_COLLINEAR = 1e-7
"""Where the squared sine of the angle is below, float32 cannot tell the angle from 0 or 180 degrees."""


class NuSlerp(OnePassMethod):
    """sin((1-t) a)/sin(a) x_1 + sin(t a)/sin(a) x_2, with a the angle between the two and t = w_2 / (w_1 + w_2).

    With a base, it is added to what so becomes of the two task vectors. Collinear tensors are interpolated linearly.

    `weight` of each of the two sources (only their ratio counts; halves if they sum to zero); `nuslerp_flatten`
    (default true): one angle for the whole tensor, else one for each row (along the last dimension), or for each column
    (along the first) with `nuslerp_row_wise` (default false; mergekit's name for it).
    """

    name = "nuslerp"
    parameters = (
        ParameterSpec("weight", "source", search=(0.0, 1.0)),
        ParameterSpec("nuslerp_row_wise", "shared", default=False),
        ParameterSpec("nuslerp_flatten", "shared", default=True),
    )
    base_required = False
    base_optional = True
    source_count = (2, 2)
    keeps_base = True
    paper = "https://dl.acm.org/doi/10.1145/325334.325242"

    def prepare(self, base: torch.Tensor | None, sources: Sequence[torch.Tensor]) -> Any:
        """The inner products of the two tensors (or task vectors), over all elements."""
        return inner_products(sources, base)

    def form(
        self, base: torch.Tensor | None, sources: Sequence[torch.Tensor], parameters: MergeParameters
    ) -> Form | None:
        """One weight for each tensor; none if each row has its own."""
        if not parameters.shared["nuslerp_flatten"]:
            return None
        products = self.prepare(base, sources) if parameters.prepared is None else parameters.prepared
        return weighted(_weights(products, _share(parameters)), base is not None)

    def merge(
        self, base: torch.Tensor | None, sources: Sequence[torch.Tensor], parameters: MergeParameters
    ) -> torch.Tensor:
        """The form, or each row with weights of its own."""
        form = self.form(base, sources, parameters)
        if form is not None:
            return form.apply(base, sources)
        turn = bool(parameters.shared["nuslerp_row_wise"])
        rows = [source.transpose(0, -1) if turn else source for source in sources]
        origin = base.transpose(0, -1) if turn and base is not None else base
        merged = row_weighted_sum(rows, _weights(row_inner_products(rows, origin), _share(parameters)), origin)
        return merged.transpose(0, -1).contiguous() if turn else merged


def _share(parameters: MergeParameters) -> float:
    first, second = parameters.per_source["weight"]
    return 0.5 if abs(first + second) < _SMALLEST_TOTAL else second / (first + second)


def _weights(products: npt.NDArray[np.float64], t: float) -> npt.NDArray[np.float64]:
    """The weights of the two tensors, shape (2, ...), from their inner products (..., 2, 2)."""
    norms = np.sqrt(np.diagonal(products, axis1=-2, axis2=-1))
    cosine = np.clip(products[..., 0, 1] / np.maximum(norms, _SMALLEST_NORM).prod(-1), -1, 1)
    collinear = 1 - cosine**2 <= _COLLINEAR
    angle = np.arccos(np.where(collinear, 0.0, cosine))
    shares = np.stack([np.full_like(angle, 1 - t), np.full_like(angle, t)])
    weights: npt.NDArray[np.float64] = np.where(
        collinear, shares, np.sin(shares * angle) / np.sin(np.where(collinear, 1.0, angle))
    )
    return weights
