"""Model Stock: between the base and the mean of its fine-tunes, by the angle between them (Jang et al., 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ...core.contracts import MergeParameters, OnePassMethod, ParameterSpec
from ...core.forms import WeightedSum
from .inner_products import inner_products, row_inner_products
from .rows import row_weighted_sum

_SMALLEST_PRODUCT = 1e-6
_SMALLEST_DIVISOR = 1e-6


class ModelStock(OnePassMethod):
    """t * mean_i x_i + (1 - t) * base, with t = k cos(a) / (1 + (k - 1) cos(a)).

    cos(a) is the mean cosine between the task vectors of k sources, over all pairs. Where the divisor is zero (two task
    vectors that oppose each other), the base is kept.

    `filter_wise` (default false): an angle and a t for each row (last dimension) instead of the whole tensor.
    """

    name = "model_stock"
    parameters = (ParameterSpec("filter_wise", "shared", default=False),)
    source_count = (2, None)
    keeps_base = True
    paper = "https://arxiv.org/abs/2403.19522"

    def prepare(self, base: torch.Tensor | None, sources: Sequence[torch.Tensor]) -> Any:
        """The inner products of the task vectors, over all elements."""
        return inner_products(sources, base)

    def form(
        self, base: torch.Tensor | None, sources: Sequence[torch.Tensor], parameters: MergeParameters
    ) -> WeightedSum | None:
        """One t for the tensor; none if each row has its own."""
        if parameters.shared["filter_wise"]:
            return None
        products = self.prepare(base, sources) if parameters.prepared is None else parameters.prepared
        t = float(_share(products))
        return WeightedSum((t / len(sources),) * len(sources), 1 - t)

    def merge(
        self, base: torch.Tensor | None, sources: Sequence[torch.Tensor], parameters: MergeParameters
    ) -> torch.Tensor:
        """The form, or each row with a t of its own."""
        form = self.form(base, sources, parameters)
        if form is not None:
            return form.apply(base, sources)
        t = _share(row_inner_products(sources, base))
        return row_weighted_sum(sources, np.stack([t / len(sources)] * len(sources)), base)


def _share(products: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The t of each matrix of inner products, from shape (..., k, k) to (...)."""
    count = products.shape[-1]
    norms = np.sqrt(np.diagonal(products, axis1=-2, axis2=-1))
    lengths = np.maximum(norms[..., :, None] * norms[..., None, :], _SMALLEST_PRODUCT)
    cosines = np.clip(products / lengths, -1, 1)
    first, second = np.triu_indices(count, 1)
    cosine = cosines[..., first, second].mean(-1)
    divisor = 1 + (count - 1) * cosine
    singular = np.abs(divisor) < _SMALLEST_DIVISOR
    share: npt.NDArray[np.float64] = np.where(singular, 0.0, count * cosine / np.where(singular, 1.0, divisor))
    return share
