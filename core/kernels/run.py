"""Which forms there are kernels for, and running one on tensors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..draws import limit, second_seed
from ..forms import Form, TaskVectorSum, WeightedSum
from . import forms as kernels
from .elements import STORED, array


def runs(form: Form, work: torch.dtype, out: torch.Tensor) -> bool:
    """Whether there is a kernel for this form, arithmetic in `work` and a result like `out`."""
    return (
        isinstance(form, WeightedSum | TaskVectorSum)
        and work == torch.float32
        and out.dtype in STORED
        and out.device.type == "cpu"
    )


def run(
    form: Form, base: torch.Tensor | None, sources: Sequence[torch.Tensor], out: torch.Tensor, first: int = 0
) -> bool:
    """Writes the form's result into `out`, with the same bits as `form.apply` in float32.

    Args:
        base, sources: floating-point tensors on the CPU, of `out`'s number of elements.
        out: contiguous, of one of the dtypes `STORED`.
        first: number of the first element, from which random draws count.

    Returns:
        False if a value is not finite; what was written until then is finite.
    """
    assert isinstance(form, WeightedSum | TaskVectorSum)
    if isinstance(form, WeightedSum):
        operands, weights = list(sources), list(form.weights)
        if form.base_weight:
            assert base is not None
            operands, weights = [base, *operands], [form.base_weight, *weights]
        return bool(kernels.weighted_sum(_alike(operands), np.float32(weights), array(out)))
    assert base is not None
    (origin,) = _alike([base])
    weights = np.float32([term.weight for term in form.terms])
    terms = np.float32([(term.low, term.high, term.scale) for term in form.terms])
    draws = np.int64([(limit(term.keep), term.seed, second_seed(term.seed)) for term in form.terms])
    common = (origin, _alike(sources), weights, terms, draws)
    room = tuple(np.empty((len(weights), kernels.BLOCK), np.float32))
    rest = (np.float32(form.factor), first, room, array(out))
    if form.consensus:
        return bool(kernels.agreed_sum(*common, form.normalize, *rest))
    return bool(kernels.task_vector_sum(*common, np.float32(form.divisor), *rest))


def _alike(tensors: Sequence[torch.Tensor]) -> tuple[np.ndarray, ...]:
    """Arrays of one dtype: the stored one if all share it and kernels read it, else float32."""
    (dtype, *others) = {tensor.dtype for tensor in tensors}
    if others or dtype not in STORED:
        dtype = torch.float32
    return tuple(array(tensor.to(dtype).contiguous()) for tensor in tensors)
