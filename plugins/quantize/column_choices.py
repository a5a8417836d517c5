"""What columns are rounded to: a grid that was fitted before, or one for each group of columns, fitted on the way."""

from __future__ import annotations

import numpy as np
import torch

from ...core.contracts import Format, Grid
from ...core.errors import MaterialiseError
from ..formats.integer_grid import IntegerGrid
from .column_rounding import ColumnChoice
from .uniform_kernel import round_block


class OnGrid(ColumnChoice):
    """The nearest values of a grid; `order` says which of its columns comes when."""

    def __init__(self, grid: Grid, order: torch.Tensor) -> None:
        self.grid = grid
        self._columns: list[int] = order.tolist()
        self._codes: list[torch.Tensor] = []
        self._spacing: tuple[torch.Tensor, torch.Tensor] | None = None

    def choose(self, column: int, values: torch.Tensor) -> torch.Tensor:
        """See `ColumnChoice.choose`."""
        place = self._columns[column]
        codes = self.grid.round(values[:, None], place)
        self._codes.append(codes[:, 0])
        return self.grid.values(codes, place)[:, 0]

    def round_block(
        self, first: int, columns: torch.Tensor, values: torch.Tensor, shares: torch.Tensor, errors: torch.Tensor
    ) -> bool:
        """See `ColumnChoice.round_block`: on the CPU, for evenly spaced values."""
        if not isinstance(self.grid, IntegerGrid) or columns.device.type != "cpu":
            return False
        if self._spacing is None:
            self._spacing = self.grid.spacing(columns.shape[1])
        scales, zeros = self._spacing
        last = first + len(columns)
        places = torch.tensor(self._columns[first:last])
        groups = places // self.grid.group if self.grid.group > 0 else torch.zeros_like(places)
        codes = torch.empty(columns.shape, dtype=torch.int8)
        round_block(
            columns.numpy(),
            values.numpy(),
            shares.contiguous().numpy(),
            scales.numpy(),
            zeros.numpy(),
            groups.numpy(),
            np.float32(self.grid.low),
            np.float32(self.grid.high),
            errors.numpy(),
            codes.numpy(),
        )
        self._codes += list(codes)
        return True

    def codes(self) -> torch.Tensor:
        """What was chosen, shape (out, in), in the weight's own order."""
        chosen = torch.stack(self._codes)
        found = torch.empty_like(chosen)
        found[self._columns] = chosen
        return found.T.contiguous()


class OnGroups(ColumnChoice):
    """A grid for each group, fitted to what has become of its columns when the first of them is to be rounded.

    Attributes:
        group: how many columns each has: the block to round in.

    Raises:
        MaterialiseError: the format has no groups along its rows.
    """

    def __init__(self, format: Format, importance: torch.Tensor, search: str, dtype: torch.dtype) -> None:  # noqa: A002
        self.group = int(getattr(format, "group", 0))
        if self.group <= 0:
            raise MaterialiseError(
                f"gptq: `static_groups: false` needs groups of columns, such as int4-g128 has, not {format.label}"
            )
        self._format, self._importance, self._search, self._dtype = format, importance, search, dtype
        self._grids: list[Grid] = []
        self._codes: list[torch.Tensor] = []

    def begin(self, first: int, values: torch.Tensor) -> None:
        """See `ColumnChoice.begin`."""
        importance = self._importance[first : first + self.group]
        self._grids.append(self._format.fit(values.T.contiguous(), importance, self._search, self._dtype))

    def choose(self, column: int, values: torch.Tensor) -> torch.Tensor:
        """See `ColumnChoice.choose`."""
        grid, place = self._grids[-1], column % self.group
        codes = grid.round(values[:, None], place)
        self._codes.append(codes[:, 0])
        return grid.values(codes, place)[:, 0]

    def codes(self) -> torch.Tensor:
        """What was chosen, shape (out, in)."""
        return torch.stack(self._codes, dim=1)

    def parts(self) -> dict[str, torch.Tensor]:
        """The groups' parts, side by side."""
        names = self._grids[0].parts
        return {name: torch.cat([grid.parts[name] for grid in self._grids], dim=1) for name in names}
