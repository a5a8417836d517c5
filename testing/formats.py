"""Conformance check for contract `heterosis.formats`: run it on your own format as we run it on ours.

>>> from heterosis.testing.formats import check_format
>>> check_format("int4-g64")
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from ..core import registry
from ..core.contracts import Format, Grid
from ..core.errors import ConfigurationError
from ..core.quantization.level import format_of

SHAPES = ((16, 256), (32, 512))
ODD_SHAPES = ((16, 250), (3, 7), (1, 1))
DTYPES = (torch.float32, torch.bfloat16)


@dataclass(frozen=True)
class Subject:
    """A format that is checked.

    Attributes:
        shapes: of matrices that it fits.
        columns: whether its grids round columns by themselves, wherever they begin.
        on_grid: whether all weights are on the grid.
    """

    format: Format
    shapes: Sequence[tuple[int, int]]
    columns: bool = True
    on_grid: bool = True


def check_format(
    form: str | Format, shapes: Sequence[tuple[int, int]] = SHAPES, columns: bool = True, on_grid: bool = True
) -> None:
    """Checks that a format keeps its contract.

    Args:
        form: the format, or its label if its family is installed.
        shapes: of matrices, (out, in); those that it fits are tried.
        columns: false if its grids round only some runs of columns (whole blocks, for example).
        on_grid: false if `encode` keeps some weights apart, off the grid.

    Raises:
        AssertionError: it does not; the message says what it did.
        ConfigurationError: there is no such format.
    """
    form = format_of(form) if isinstance(form, str) else form
    fitting = [shape for shape in shapes if form.misfit(shape) is None]
    assert fitting, f"{form.label} fits none of {list(shapes)}: give the check shapes that it fits"
    for check in CHECKS:
        check(Subject(form, fitting, columns, on_grid))


def check_widths(labels: Sequence[str], shape: tuple[int, int] = SHAPES[0]) -> None:
    """Checks that formats, given from the narrowest on, take more and more bytes and lose less and less.

    Raises:
        AssertionError: they do not.
    """
    weight = draw(shape)
    lost = {label: float((_nearest(format_of(label), weight) - weight).square().sum()) for label in labels}
    for narrow, wide in pairwise(labels):
        less, more = format_of(narrow).nbytes(shape), format_of(wide).nbytes(shape)
        assert less < more, f"{wide} takes {more} bytes, and {narrow} takes {less}"
        assert lost[wide] < lost[narrow], f"{wide} loses {lost[wide]:.3g}, and {narrow} loses {lost[narrow]:.3g}"


def examples(family: type[Format]) -> list[str]:
    """The labels that a family's `pattern` shows."""
    shown, depth = "", 0
    for letter in family.pattern:
        depth += (letter == "(") - (letter == ")")
        shown += letter if depth == 0 and letter != ")" else ""
    return [label.strip() for label in shown.split(",")]


def draw(shape: tuple[int, ...], seed: int = 3) -> torch.Tensor:
    """Weights as they may be: float32 numbers that bfloat16 holds, of unlike rows, with a few outliers."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(shape, generator=generator) * (0.2 + torch.rand(shape[0], 1, generator=generator)) / 30
    outliers = torch.rand(shape, generator=generator) < 0.01
    return torch.where(outliers, weight * 6, weight).bfloat16().float()


def check_label(subject: Subject) -> None:
    """Its label is read back as the same format, by its own family and by all of them together."""
    form = subject.format
    found = type(form).parse(form.label)
    assert found == form, f"the label {form.label!r} was read back as {found!r}"
    assert found.label == form.label, f"the label {form.label!r} became {found.label!r}"
    assert hash(found) == hash(form), f"two formats {form.label!r} have different hashes"
    assert type(form).parse("no such format") is None, f"{type(form).__name__} takes any text for one of its labels"
    installed = [name for name in registry.names("formats") if registry.load("formats", name) is type(form)]
    for name in installed:
        assert name == form.family, f"the entry point is called {name!r}, but the class's `family` is {form.family!r}"
        assert format_of(form.label) == form, f"the label {form.label!r} is read by another family too"


def check_values(subject: Subject) -> None:
    """Codes and values have the weight's shape; values are finite, in the dtype asked for, and near the weight."""
    for weight, grid in _cases(subject):
        quantized = subject.format.encode(grid, weight)
        assert quantized.shape == tuple(weight.shape), f"a {list(weight.shape)} weight became {quantized.shape}"
        assert not quantized.codes.is_floating_point(), f"codes are {quantized.codes.dtype}, not integers"
        assert all(isinstance(part, torch.Tensor) for part in quantized.parts.values()), "a part is no tensor"
        for dtype in DTYPES:
            values = quantized.dequantize(dtype)
            assert values.dtype == dtype, f"dequantize({dtype}) gave {values.dtype}"
            assert values.shape == weight.shape, f"a {list(weight.shape)} weight came back as {list(values.shape)}"
            assert values.isfinite().all(), f"an ordinary weight came back in {dtype} with values that are not finite"
        lost, whole = float((quantized.dequantize() - weight).square().sum()), float(weight.square().sum())
        if subject.format.bits(tuple(weight.shape)) >= 4:
            assert lost < 0.2 * whole, f"{lost / whole:.0%} of the weight's square sum was lost"


def check_grid(subject: Subject) -> None:
    """What is encoded is dequantised, in float32, to the grid's nearest values; values encode to themselves."""
    for weight, grid in _cases(subject):
        nearest = grid.nearest(weight)
        assert nearest.dtype == torch.float32, f"the grid's values are {nearest.dtype}, not float32"
        values = subject.format.encode(grid, weight).dequantize(torch.float32)
        again = subject.format.encode(grid, values).dequantize()
        assert _gap(again, values) <= 1e-5 * float(values.abs().max()), (
            f"what was quantised changed when quantised again, by {_gap(again, values):.3g}"
        )
        if not subject.on_grid:
            continue
        assert torch.equal(values, nearest), (
            f"dequantize gave other values than the grid's nearest, off by {_gap(values, nearest):.3g}"
        )


def check_columns(subject: Subject) -> None:
    """Some columns, told where they begin, are rounded as within the whole."""
    if not subject.columns:
        return
    for weight, grid in _cases(subject):
        nearest = grid.nearest(weight)
        last = weight.shape[1]
        for first, end in ((0, 1), (7, 8), (last - 1, last), (0, last // 2), (last // 2, last), (3, 90)):
            part = grid.nearest(weight[:, first:end].contiguous(), first)
            assert torch.equal(part, nearest[:, first:end]), (
                f"columns {first} to {end} alone were rounded to other values (columns=False if that is meant)"
            )


def check_purity(subject: Subject) -> None:
    """Inputs stay as they are; no random state is used or changed."""
    for weight in map(draw, subject.shapes):
        importance = torch.rand(weight.shape[1], generator=torch.Generator().manual_seed(1)) + 0.1
        before = weight.clone(), importance.clone()
        torch.manual_seed(1)
        state = _global_state()
        first = _nearest(subject.format, weight, importance)
        assert _global_state() == state, "the global random state of torch, numpy or `random` was changed"
        assert torch.equal(weight, before[0]), "the weight was changed"
        assert torch.equal(importance, before[1]), "the importance was changed"
        torch.manual_seed(2)
        assert torch.equal(_nearest(subject.format, weight, importance), first), "the same inputs gave other values"


def check_sizes(subject: Subject) -> None:
    """Bytes are a positive whole number, and grow with the matrix; bits are these bytes for each weight."""
    form = subject.format
    for rows, columns in subject.shapes:
        size = form.nbytes((rows, columns))
        assert isinstance(size, int), f"nbytes gave a {type(size).__name__}"
        assert size > 0, f"nbytes gave {size}"
        assert form.nbytes((2 * rows, columns)) > size, "twice the rows do not take more bytes"
        assert form.bits((rows, columns)) == 8 * size / (rows * columns), "bits are not the bytes for each weight"


def check_misfits(subject: Subject) -> None:
    """Shapes with a misfit are refused by `fit`, with a ConfigurationError; those without one can be quantised."""
    form = subject.format
    assert form.misfit((8,)) is not None, "one dimension is said to fit"
    assert form.misfit((2, 16, 256)) is not None, "three dimensions are said to fit"
    for shape in ODD_SHAPES:
        weight = draw(shape)
        if form.misfit(shape) is None:
            values = _nearest(form, weight)
            assert values.shape == weight.shape, f"the shape {shape} is said to fit, but gave {list(values.shape)}"
            assert form.nbytes(shape) > 0, f"the shape {shape} is said to fit, but takes {form.nbytes(shape)} bytes"
            continue
        try:
            form.fit(weight)
        except ConfigurationError:
            continue
        raise AssertionError(f"the shape {shape} is a misfit ({form.misfit(shape)}), but `fit` took it")


def check_searches(subject: Subject) -> None:
    """An unknown search is refused with a ConfigurationError."""
    try:
        subject.format.fit(draw(subject.shapes[0]), None, "no such search")
    except ConfigurationError:
        return
    raise AssertionError("an unknown search was accepted")


def check_dull_weights(subject: Subject) -> None:
    """Zeros come back as zeros (or nearly); constant, tiny and huge rows as finite numbers."""
    for shape in subject.shapes:
        zeros = _nearest(subject.format, torch.zeros(shape))
        assert float(zeros.abs().max()) < 1e-3, f"a weight of zeros came back with {float(zeros.abs().max()):.3g}"
        rows = torch.logspace(-30, 4, shape[0])
        for weight in (torch.ones(shape) * 0.3, torch.ones(shape) * -2, rows[:, None] * draw(shape).sign()):
            assert _nearest(subject.format, weight).isfinite().all(), (
                "constant, tiny or huge rows came back with values that are not finite"
            )


CHECKS: tuple[Callable[[Subject], None], ...] = (
    check_label,
    check_values,
    check_grid,
    check_columns,
    check_purity,
    check_sizes,
    check_misfits,
    check_searches,
    check_dull_weights,
)


def _cases(subject: Subject) -> Iterator[tuple[torch.Tensor, Grid]]:
    for number, shape in enumerate(subject.shapes):
        weight = draw(shape, number)
        for dtype in DTYPES:
            yield weight, subject.format.fit(weight, dtype=dtype)


def _nearest(form: Format, weight: torch.Tensor, importance: torch.Tensor | None = None) -> torch.Tensor:
    return form.encode(form.fit(weight, importance), weight).dequantize()


def _gap(left: torch.Tensor, right: torch.Tensor) -> float:
    return float((left - right).abs().max())


def _global_state() -> tuple[object, ...]:
    name, keys, *rest = np.random.get_state()
    return (torch.get_rng_state().numpy().tobytes(), random.getstate(), name, np.asarray(keys).tobytes(), *rest)
