"""Search `neuqi`: near-optimal real zero points (NeUQI, arXiv 2505.17595, 2025).

With the scale held, the weighted squared error is a quadratic function of the zero point as long as no weight changes
its code. Within any interval of length 1, every weight changes its code at most once: sorting those places and summing
along them gives the optimum of every piece, and so the best zero point there. Scales and the interval are found coarse
to fine; whole zero points are rounded last.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from .integer_search import Uniform

SCALES = (0.7, 0.8, 0.9, 1.0, 1.1, 1.2)
SHIFTS = (-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5)
FINE_SCALES = (0.97, 1.0, 1.03)


def near_optimal(groups: Uniform, scale: torch.Tensor, zero: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Scales and zero points with no more error than those given, to begin with: the search goes on around them."""
    free = replace(groups, zeros="real")
    best = _Best(free, *free.storable(scale, zero))
    _coarse(free, best)
    middle, place = best.scale, best.zero
    for factor in FINE_SCALES:
        tried = (middle * factor).to(groups.dtype).float()
        best.offer(tried, sweep(free, tried, recentered(free, middle, place, tried)))
    best.offer(*free.refit(best.scale, best.zero))
    if groups.zeros == "real":
        return best.scale, best.zero
    whole = _Best(groups, scale, zero)
    for rounded in (best.zero.floor(), best.zero.ceil()):
        whole.offer(*groups.refit(*groups.storable(best.scale, rounded)))
    return whole.scale, whole.zero


def sweep(groups: Uniform, scale: torch.Tensor, zero: torch.Tensor) -> torch.Tensor:
    """The zero point with the least error within 1/2 of `zero`, or a better one beyond; shapes (rows, groups)."""
    position = groups.position(scale, zero - 0.5)
    below = (position + 0.5).floor_()
    place = below + 0.5 - position
    moves = (below >= groups.low) & (below < groups.high)
    offset = groups.nearest(position).sub_(position)
    step = torch.where(moves, groups.importance, 0.0)
    order = place.argsort(dim=-1)
    total = groups.importance.expand_as(offset).sum(-1, keepdim=True)
    first = _along((groups.importance * offset).sum(-1, keepdim=True), step.gather(-1, order))
    second = _along(
        (groups.importance * offset.square()).sum(-1, keepdim=True), (step * (2 * offset + 1)).gather(-1, order)
    )
    pick = (second - first.square() / total).argmin(dim=-1, keepdim=True)
    return zero - 0.5 + (first.gather(-1, pick) / total).squeeze(-1)


def recentered(groups: Uniform, scale: torch.Tensor, zero: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The zero point with which a grid of the scale `other` has the middle of the grid of `scale` and `zero`."""
    middle = (groups.low + groups.high) / 2
    return middle - (middle - zero) * scale / other


def _coarse(groups: Uniform, best: _Best) -> None:
    scale, zero = best.scale, best.zero
    for factor in SCALES:
        tried = (scale * factor).to(groups.dtype).float()
        center = recentered(groups, scale, zero, tried)
        for shift in SHIFTS:
            best.offer(*groups.storable(tried, center + shift))


def _along(start: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
    return torch.cat([start, steps], dim=-1).cumsum_(dim=-1)


class _Best:
    """The best that was offered so far, group by group."""

    def __init__(self, groups: Uniform, scale: torch.Tensor, zero: torch.Tensor) -> None:
        self.groups, self.scale, self.zero = groups, scale, zero
        self.loss = groups.loss(scale, zero)

    def offer(self, scale: torch.Tensor, zero: torch.Tensor) -> None:
        scale, zero = self.groups.storable(scale, zero)
        scale = torch.where(scale > 0, scale, self.scale)
        found = self.groups.loss(scale, zero)
        better = found < self.loss
        self.scale = torch.where(better, scale, self.scale)
        self.zero = torch.where(better, zero, self.zero)
        self.loss = torch.where(better, found, self.loss)
