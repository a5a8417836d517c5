"""The kernels on tensors: which forms there are kernels for, running one, and reductions over task vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..forms import Form, TaskVectorSum, Term, Thinning, WeightedSum, thinned
from . import forms as kernels
from . import magnitudes
from .elements import STORED, Array, alike, array


def runs(form: Form, work: torch.dtype, out: torch.Tensor) -> bool:
    """Whether there is a kernel for this form, arithmetic in `work` and a result like `out`."""
    return isinstance(form, WeightedSum | TaskVectorSum) and work == torch.float32 and out.dtype in STORED


def run(form: Form, base: Array | None, sources: Sequence[Array], out: Array, first: int = 0) -> bool:
    """Writes the form's result into `out`, with the same bits as `form.apply` in float32.

    Args:
        base, sources: of `out`'s length, as `array` gives them.
        out: as `array` gives it of a contiguous tensor of one of the dtypes `STORED`.
        first: number of the first element, from which random draws count.

    Returns:
        Whether all values are finite.
    """
    if isinstance(form, WeightedSum):
        operands, weights = list(sources), list(form.weights)
        if form.base_weight:
            assert base is not None
            operands, weights = [base, *operands], [form.base_weight, *weights]
        return bool(kernels.weighted_sum(alike(operands), np.array(weights, np.float32), out))
    assert isinstance(form, TaskVectorSum)
    assert base is not None
    weights_of_terms = np.array([term.weight for term in form.terms], np.float32)
    common = (base, alike(sources), weights_of_terms, *_thinning(form.terms))
    rest = (np.float32(form.factor), np.uint32(first & 0xFFFFFFFF), out)
    if form.consensus:
        shares = weights_of_terms if form.normalize else np.zeros_like(weights_of_terms)
        return bool(kernels.agreed_sum(*common, shares, *rest))
    return bool(kernels.task_vector_sum(*common, np.float32(form.divisor), *rest))


def magnitude_sum(base: torch.Tensor, source: torch.Tensor, term: Term) -> float:
    """The l1 norm of what `term` keeps of the task vector source - base, its scale aside."""
    if base.device.type != "cpu":
        kept = thinned(source.float(), base.float(), replace(term, scale=1.0))
        return float(kept.abs().sum(dtype=torch.float64))
    bounds, draws, _ = _thinning([term])
    return float(magnitudes.magnitude_sum(array(base), array(source), bounds, draws))


def magnitudes_between(
    base: torch.Tensor, source: torch.Tensor, low: float, high: float, count: int
) -> npt.NDArray[np.float32]:
    """The task vector's magnitudes in [low, high], in order, of which there are `count`."""
    found = np.empty(count, np.float32)
    limits = np.float32(low), np.float32(high)
    written = magnitudes.magnitudes_between(array(base), array(source), *limits, found)
    assert written == count
    return found


def _thinning(terms: Sequence[Term]) -> tuple[Any, Any, Any]:
    """The kernels' `bounds`, `draws` and `scales`."""
    bounds, draws, scales = Thinning.of(terms)
    return (
        None if bounds is None else np.array(bounds, np.float32),
        None if draws is None else np.array(draws, np.uint32),
        None if scales is None else np.array(scales, np.float32),
    )
