"""Which weights SpQR keeps apart: those whose rounding would cost the layer's outputs too much."""

from __future__ import annotations

import numpy as np
import torch

from ..formats.groups import grouped
from ..formats.spqr_grid import SpqrGrid
from .column_choices import OnGrid
from .outlier_kernel import round_but_outliers


def without_outliers(
    weight: torch.Tensor, costs: torch.Tensor, group: int, width: int, limit: float, room: int
) -> torch.Tensor:
    """The weight, likely outliers replaced by the mean of the others of their group: what scales are fitted to.

    A weight is a likely outlier if the group's error falls by more than `limit` when the weight is left out: by its own
    error, unless it is the smallest or the largest, when the range shrinks too (Dettmers et al., 2023, algorithm 1).

    Args:
        weight: float32, shape (out, in).
        costs: what a squared error costs in each column, shape (in,).
        room: most outliers; of more, those count that the error falls most by.
    """
    groups = grouped(weight, group)
    cost = costs.reshape(1, -1, group)
    own = _errors(groups, groups, cost, width)
    whole = own.sum(dim=-1, keepdim=True)
    gains = own.clone()
    for place in (groups.argmin(dim=-1, keepdim=True), groups.argmax(dim=-1, keepdim=True)):
        others = torch.ones_like(groups).scatter_(-1, place, 0)
        mean = (groups * others).sum(dim=-1, keepdim=True) / (group - 1)
        left = torch.where(others > 0, groups, mean)  # inside the others' range: it does not widen it
        rest = (_errors(groups, left, cost, width) * others).sum(dim=-1, keepdim=True)
        gains.scatter_(-1, place, whole - rest)
    likely = gains > within_room(gains, limit, room)
    others = (~likely).float()
    mean = (groups * others).sum(dim=-1, keepdim=True) / others.sum(dim=-1, keepdim=True).clamp_min(1)
    return torch.where(likely, mean, groups).flatten(1)


def within_room(costs: torch.Tensor, limit: float, room: int) -> float:
    """The limit, raised so that at most `room` of the costs are above it."""
    if room >= costs.numel():
        return limit
    return max(limit, float(costs.flatten().kthvalue(costs.numel() - room).values))


class KeepingOutliers(OnGrid):
    """A grid, but for weights whose rounding costs more than `limit`: these stay as they are, in bfloat16.

    Attributes:
        costs: of the errors of all weights, (in, out), columns in the order that they are rounded in.
    """

    def __init__(
        self, grid: SpqrGrid, order: torch.Tensor, factors: torch.Tensor, limit: float, room: int | None
    ) -> None:
        """`factors` are what errors are multiplied by, for each column in order; `room` is for so many outliers."""
        super().__init__(grid, order)
        self._evenly = grid
        self._order, self._factor = order, factors
        self._factors: list[float] = factors.tolist()
        self._limit, self._room = limit, room
        self._found: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        self.costs: list[torch.Tensor] = []

    def choose(self, column: int, values: torch.Tensor) -> torch.Tensor:
        """See `ColumnChoice.choose`."""
        rounded = super().choose(column, values)
        costs = ((values - rounded) * self._factors[column]).square_()
        self.costs.append(costs)
        rows = (costs > self._limit).nonzero()[:, 0]
        if self._room is not None and len(rows) > self._room:
            rows = rows[costs[rows].argsort(descending=True, stable=True)[: self._room]]
        if len(rows):
            kept = values[rows].bfloat16()
            self._room = None if self._room is None else self._room - len(rows)
            self._found.append((rows, torch.full_like(rows, self._columns[column]), kept))
            rounded = rounded.index_copy(0, rows, kept.float())
        return rounded

    def round_block(
        self, first: int, columns: torch.Tensor, values: torch.Tensor, shares: torch.Tensor, errors: torch.Tensor
    ) -> bool:
        """See `ColumnChoice.round_block`: on the CPU, where the room need not be looked at."""
        if self._room is not None or columns.device.type != "cpu":
            return False
        places = self._order[first : first + len(columns)]
        factors = self._factor[first : first + len(columns)].contiguous()
        codes, costs = torch.empty(columns.shape, dtype=torch.uint8), torch.empty(columns.shape)
        scales, zeros = self._spacing = self._spacing or self._evenly.spacing()
        round_but_outliers(
            columns.numpy(),
            values.numpy(),
            shares.contiguous().numpy(),
            scales.numpy(),
            zeros.numpy(),
            (places // self._evenly.group).numpy(),
            np.float32(self._evenly.highest),
            factors.numpy(),
            np.float32(self._limit),
            errors.numpy(),
            codes.numpy(),
            costs.numpy(),
        )
        self._codes += list(codes)
        self.costs += list(costs)
        numbers, rows = (costs > self._limit).nonzero(as_tuple=True)
        if len(rows):
            kept = values[numbers, rows].bfloat16()
            errors[numbers, rows] = columns[numbers, rows] - kept.float()
            self._found.append((rows, places[numbers], kept))
        return True

    def outliers(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Rows, columns (in the weight's own order) and values of what was kept; empty if nothing was."""
        if not self._found:
            nothing = torch.empty(0, dtype=torch.long)
            return nothing, nothing, torch.empty(0, dtype=torch.bfloat16)
        rows, columns, values = (torch.cat(part) for part in zip(*self._found, strict=True))
        return rows, columns, values


def _errors(values: torch.Tensor, fitted: torch.Tensor, cost: torch.Tensor, width: int) -> torch.Tensor:
    """What rounding costs each of the values, with scales (not quantised) from the range of `fitted`, and 0."""
    low, high = fitted.aminmax(dim=-1, keepdim=True)
    low, high = low.clamp_max(0), high.clamp_min(0)
    scale = (high - low) / (2**width - 1)
    scale = torch.where(scale > 0, scale, 1)
    rounded = ((values - low) / scale).round_().clamp_(0, 2**width - 1).mul_(scale).add_(low)
    return (values - rounded).square_().mul_(cost)
