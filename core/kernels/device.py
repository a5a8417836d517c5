"""The forms on an accelerator: one fused kernel each, made by torch.compile; nothing comes back to the host.

Numbers that change from candidate to candidate are tensors here, so that nothing is compiled anew for them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch

from ..draws import mixed
from ..forms import Form, TaskVectorSum, Term, Thinning, WeightedSum


def run_on_device(
    form: Form, base: torch.Tensor | None, sources: Sequence[torch.Tensor], out: torch.Tensor
) -> torch.Tensor:
    """Writes the form's result into `out`, reduced in float32.

    Args:
        base, sources: on `out`'s device, of as many elements; any floating dtype.

    Returns:
        Whether all values are finite: a boolean tensor without dimensions, on the device.
    """
    base = None if base is None else base.reshape(-1)
    sources, out = [source.reshape(-1) for source in sources], out.view(-1)
    if isinstance(form, WeightedSum):
        operands, weights = sources, list(form.weights)
        if form.base_weight:
            assert base is not None
            operands, weights = [base, *operands], [form.base_weight, *weights]
        return _fused(weighted_sum)(operands, _floats(weights, out), out)
    assert isinstance(form, TaskVectorSum)
    assert base is not None
    arguments = (base, sources, _floats([term.weight for term in form.terms], out), *_thinning(form.terms, out))
    if form.consensus:
        shares = [term.weight if form.normalize else 0.0 for term in form.terms]
        return _fused(agreed_sum)(*arguments, _floats(shares, out), _floats([form.factor], out), out)
    return _fused(task_vector_sum)(*arguments, _floats([form.divisor, form.factor], out), out)


def weighted_sum(sources: list[torch.Tensor], weights: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """As kernels/forms.py's; returns whether all is finite."""
    total = sources[0].float() * weights[0]
    for number in range(1, len(sources)):
        total = total + sources[number].float() * weights[number]
    return _stored(total, out)


def task_vector_sum(
    base: torch.Tensor,
    sources: list[torch.Tensor],
    weights: torch.Tensor,
    bounds: torch.Tensor | None,
    draws: torch.Tensor | None,
    scales: torch.Tensor | None,
    last: torch.Tensor,
    out: torch.Tensor,
) -> torch.Tensor:
    """As kernels/forms.py's; `last` holds divisor and factor; returns whether all is finite."""
    origin = base.float()
    total = torch.zeros_like(origin)
    for number, source in enumerate(sources):
        total = total + _thinned(source.float() - origin, number, bounds, draws, scales) * weights[number]
    return _stored(total / last[0] * last[1] + origin, out)


def agreed_sum(
    base: torch.Tensor,
    sources: list[torch.Tensor],
    weights: torch.Tensor,
    bounds: torch.Tensor | None,
    draws: torch.Tensor | None,
    scales: torch.Tensor | None,
    shares: torch.Tensor,
    factor: torch.Tensor,
    out: torch.Tensor,
) -> torch.Tensor:
    """As kernels/forms.py's; returns whether all is finite."""
    origin = base.float()
    zero = torch.zeros_like(origin)
    total, up, down, share_up, share_down = zero, zero, zero, zero, zero
    for number, source in enumerate(sources):
        change = _thinned(source.float() - origin, number, bounds, draws, scales) * weights[number]
        total = total + change
        up, down = up + change.clamp(min=0), down + change.clamp(max=0)
        share_up = share_up + torch.where(change > 0, shares[number], 0.0)
        share_down = share_down + torch.where(change < 0, shares[number], 0.0)
    positive = total >= 0
    divisor = torch.where(positive, share_up, share_down)
    agreed = torch.where(positive, up, down) / torch.where(divisor == 0, 1.0, divisor)
    return _stored(agreed * factor + origin, out)


def _thinned(
    change: torch.Tensor,
    number: int,
    bounds: torch.Tensor | None,
    draws: torch.Tensor | None,
    scales: torch.Tensor | None,
) -> torch.Tensor:
    if bounds is not None:
        magnitude = change.abs()
        change = change * ~((magnitude < bounds[number, 0]) | (magnitude > bounds[number, 1]))
    if draws is not None:
        numbers = torch.arange(change.numel(), device=change.device).view(change.shape)
        change = change * (mixed(numbers, draws[number, 1], draws[number, 2]) <= draws[number, 0])
    return change if scales is None else change * scales[number]


def _stored(value: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    stored = value.to(out.dtype)
    out.copy_(stored)
    return torch.isfinite(stored).all()


@cache
def _fused(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    compiled: Callable[..., torch.Tensor] = torch.compile(function, dynamic=True)
    return compiled


def _floats(values: Sequence[float], like: torch.Tensor) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32, device=like.device)


def _thinning(terms: Sequence[Term], like: torch.Tensor) -> tuple[Any, Any, Any]:
    bounds, draws, scales = Thinning.of(terms)
    return (
        None if bounds is None else torch.tensor(bounds, dtype=torch.float32, device=like.device),
        None if draws is None else torch.tensor(draws, dtype=torch.int64, device=like.device),
        None if scales is None else _floats(scales, like),
    )
