"""Matrices in groups of weights that share a scale: a run of a row, a row, or the matrix.

A `group` is a number of columns, or one of CHANNEL and TENSOR. What a group has (a scale, a zero point) is kept as
compressed-tensors stores it: shape (out, in / group), (out, 1) or (1,).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

CHANNEL = 0
TENSOR = -1
LABEL = r"(?:-(g[1-9]\d*|channel|tensor))?"  # of a group, within a label; `named_group` understands it


def named_group(text: str | None, default: int) -> int:
    """What LABEL's match means."""
    if text is None:
        return default
    return {"channel": CHANNEL, "tensor": TENSOR}[text] if text[0] != "g" else int(text[1:])


def group_name(group: int, default: int) -> str:
    """The shortest text with that meaning."""
    if group == default:
        return ""
    return {CHANNEL: "-channel", TENSOR: "-tensor"}.get(group, f"-g{group}")


def grouped(weight: torch.Tensor, group: int) -> torch.Tensor:
    """A view of a matrix (out, in) whose last dimension is a group: (out, in / group, group), or (1, 1, out * in)."""
    if group == TENSOR:
        return weight.reshape(1, 1, -1)
    return weight.reshape(len(weight), -1, group or weight.shape[1])


def grouped_columns(columns: torch.Tensor, group: int, rows: int) -> torch.Tensor:
    """A number for each column (in,), to broadcast against `grouped` of a matrix of `rows` rows."""
    if group == TENSOR:
        return columns.repeat(rows).reshape(1, 1, -1)
    return columns.reshape(1, -1, group or len(columns))


def stored(part: torch.Tensor, group: int) -> torch.Tensor:
    """A part of shape (out, groups), in the shape it is stored in."""
    return part.reshape(1) if group == TENSOR else part


def group_count(shape: tuple[int, ...], group: int) -> int:
    """How many groups a matrix has."""
    if group == TENSOR:
        return 1
    return shape[0] * (shape[1] // group if group else 1)


def group_misfit(shape: tuple[int, ...], group: int) -> str | None:
    """Why a matrix cannot be cut into such groups, for people; None if it can."""
    if group > 0 and shape[1] % group:
        return f"groups of {group} do not divide its {shape[1]} columns"
    return None


def aligned(
    values: torch.Tensor, parts: Sequence[torch.Tensor], group: int, first: int
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Columns from `first` on and the stored parts of their groups, in shapes that broadcast against each other."""
    if group <= 0:
        return values, list(parts)
    last = first + values.shape[1]
    if first % group == 0 and last % group == 0:
        return values.reshape(len(values), -1, group), [part[:, first // group : last // group, None] for part in parts]
    if first // group == (last - 1) // group:
        return values, [part[:, first // group, None] for part in parts]
    index = torch.arange(first, last, device=values.device) // group
    return values, [part[:, index] for part in parts]
