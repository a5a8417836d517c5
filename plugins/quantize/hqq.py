"""Quantiser `hqq`: zero points by half-quadratic splitting, without data (Badri and Shaji, 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch

from ...core.contracts import Calibration, Format, Quantizer
from ...core.quantized_tensor import QuantizedTensor
from ..formats.groups import grouped
from ..formats.integer import IntegerFormat
from ..formats.integer_search import Uniform
from ..formats.shrinking import chunks
from .numbers import finite

Options = Mapping[str, float | int | bool | str]


class Hqq(Quantizer):
    """Minimises the sum of |w - its value|^p over real zero points, with min-max scales.

    A few large errors count for less than under the square: outliers are given up for the many. Each iteration takes
    the errors that are large (shrunk by `beta`) for what cannot be helped, and gives the rest the mean zero point. A
    group stops when its mean absolute error no longer falls, and so never has a larger one than with the plain zero
    point. Whole zero points are rounded last, either way, and the scale fitted to them by least squares.

    Options: `p` of the norm, below 1; `beta` and its growth `kappa`; `iterations` at most.
    """

    name = "hqq"
    options: ClassVar[Options] = {"p": 0.7, "beta": 10.0, "kappa": 1.01, "iterations": 20}
    source = "https://mobiusml.github.io/hqq_blog, 2023"

    def misfit(self, format: Format) -> str | None:  # noqa: A002
        """See `Quantizer.misfit`."""
        if isinstance(format, IntegerFormat) and not format.symmetric:
            return None
        return "hqq chooses zero points, and this format has none; write int4-g64-float or int4-g64-asym, for example"

    def quantize(
        self,
        weight: torch.Tensor,
        format: Format,  # noqa: A002
        calibration: Calibration | None,
        options: Options,
    ) -> QuantizedTensor:
        """See `Quantizer.quantize`."""
        assert isinstance(format, IntegerFormat)
        plain = finite(weight)
        groups = grouped(plain, format.group)
        p, beta, kappa = (float(options[name]) for name in ("p", "beta", "kappa"))
        settings = Settings(p, beta, kappa, int(options["iterations"]))
        found = [_fit(groups[rows], format, weight.dtype, settings) for rows in chunks(groups)]
        scale, zero = (torch.cat(pieces) for pieces in zip(*found, strict=True))
        return format.encode(format.grid(scale, zero), plain)


@dataclass(frozen=True)
class Settings:
    """Options of `Hqq`."""

    p: float
    beta: float
    kappa: float
    iterations: int


def _fit(
    weight: torch.Tensor, form: IntegerFormat, dtype: torch.dtype, settings: Settings
) -> tuple[torch.Tensor, torch.Tensor]:
    """Stored scales and zero points of groups (rows, groups, size)."""
    stored_scale, stored_zero = form.plain(*weight.aminmax(dim=-1), dtype)
    assert stored_zero is not None
    groups = form.uniform(weight, weight.new_ones(1), dtype)
    scale, plain = groups.storable(stored_scale.float(), stored_zero.float())
    real = half_quadratic(groups, scale, plain, settings)
    chosen, zero, least = scale, plain, _error(groups, scale, plain)
    for tried in _storable(groups, scale, real):
        found = _error(groups, *tried)
        better = found < least
        chosen, zero = torch.where(better, tried[0], chosen), torch.where(better, tried[1], zero)
        least = torch.where(better, found, least)
    return chosen.to(dtype), zero.to(torch.float16 if form.real else torch.int8)


def _storable(groups: Uniform, scale: torch.Tensor, zero: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    if groups.zeros == "real":
        return [groups.storable(scale, zero)]
    return [groups.refit(*groups.storable(scale, rounded)) for rounded in (zero.floor(), zero.ceil())]


def half_quadratic(groups: Uniform, scale: torch.Tensor, zero: torch.Tensor, settings: Settings) -> torch.Tensor:
    """Zero points, starting from `zero`; shapes (rows, groups)."""
    best, least, beta = zero, torch.full_like(zero, torch.inf), settings.beta
    going = torch.ones_like(zero, dtype=torch.bool)
    for _ in range(settings.iterations):
        position = groups.position(scale, zero)
        codes = groups.nearest(position)
        error = (position - codes).mul_(scale[..., None])
        found = error.abs().mean(dim=-1)
        going = going & (found < least)
        best, least = torch.where(going, zero, best), torch.where(going, found, least)
        if not going.any():
            break
        kept = shrink(error, beta, settings.p)
        zero = (codes - (groups.weight - kept) / scale[..., None]).mean(dim=-1)
        beta *= settings.kappa
    return best


def shrink(error: torch.Tensor, beta: float, p: float) -> torch.Tensor:
    """The proximal operator of |x|^p / beta, to first order: small errors become 0, large ones nearly stay."""
    size = error.abs()
    return (size - size.pow(p - 1).div_(beta)).clamp_(min=0).copysign_(error)


def _error(groups: Uniform, scale: torch.Tensor, zero: torch.Tensor) -> torch.Tensor:
    position = groups.position(scale, zero)
    return groups.nearest(position).sub_(position).abs_().mean(dim=-1) * scale
