"""Conformance check for contract `heterosis.quantizers`: run it on your own quantiser as we run it on ours.

>>> from heterosis.testing.quantizers import check_quantizer
>>> check_quantizer("rtn")
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from ..core import registry
from ..core.contracts import Calibration, Format, Quantizer
from ..core.errors import MaterialiseError
from ..core.quantization.level import format_of
from ..core.quantized_tensor import QuantizedTensor
from .formats import DTYPES, SHAPES, draw, examples


@dataclass(frozen=True)
class Subject:
    """A quantiser that is checked, and formats that it can do."""

    quantizer: type[Quantizer]
    formats: Sequence[Format]

    def quantize(self, weight: torch.Tensor, form: Format, calibration: Calibration | None) -> QuantizedTensor:
        """Quantises with the default options. Raises AssertionError if that raises anything."""
        try:
            return self.quantizer().quantize(weight, form, calibration, dict(self.quantizer.options))
        except Exception as error:
            raise AssertionError(
                f"quantising a {weight.dtype} weight of shape {list(weight.shape)} to {form.label} raised {error!r}"
            ) from error


def check_quantizer(quantizer: str | type[Quantizer], labels: Sequence[str] | None = None) -> None:
    """Checks that a quantiser keeps its contract.

    Args:
        quantizer: a class, or the name of an installed plugin.
        labels: of formats that it can do; None: those among the installed ones' examples.

    Raises:
        AssertionError: it does not; the message says what it did.
        PluginError: no plugin of that name can be loaded.
    """
    if isinstance(quantizer, str):
        loaded: type[Quantizer] = registry.load("quantizers", quantizer)
        assert loaded.name == quantizer, (
            f"the entry point is called {quantizer!r}, but the class's `name` is {loaded.name!r}"
        )
        quantizer = loaded
    check_identity(quantizer)
    shown = _shown() if labels is None else labels
    formats = [form for form in map(format_of, shown) if quantizer().misfit(form) is None]
    formats = [form for form in formats if any(form.misfit(shape) is None for shape in SHAPES)]
    assert formats, f"it can do none of {', '.join(shown)}: give the check `labels` of formats that it can do"
    for check in CHECKS:
        check(Subject(quantizer, formats))


def check_identity(quantizer: type[Quantizer]) -> None:
    """It is a subclass of the contract, with a name and plain options, and says of every format whether it can."""
    assert isinstance(quantizer, type), f"{quantizer!r} is not a class"
    assert issubclass(quantizer, Quantizer), f"{quantizer} is not a subclass of Quantizer"
    lacking = sorted(getattr(quantizer, "__abstractmethods__", ()))
    assert not lacking, f"{quantizer} lacks {', '.join(lacking)}"
    assert getattr(quantizer, "name", None), f"{quantizer} has no name"
    for name, default in quantizer.options.items():
        assert isinstance(default, float | int | bool | str), f"the option {name!r} has the default {default!r}"
    for label in _shown():
        reason = quantizer().misfit(format_of(label))
        assert reason is None or (isinstance(reason, str) and reason), f"misfit({label}) gave {reason!r}"


def check_result(subject: Subject) -> None:
    """It gives the weight in the format asked for: same shape, finite, and not far from the weight."""
    for form, weight, calibration in _cases(subject):
        found = subject.quantize(weight, form, calibration)
        assert isinstance(found, QuantizedTensor), f"quantize gave a {type(found).__name__}"
        assert found.format == form, f"asked for {form.label}, it gave {found.format.label}"
        assert found.shape == tuple(weight.shape), f"a {list(weight.shape)} weight became {found.shape}"
        values = found.dequantize(weight.dtype)
        assert values.dtype == weight.dtype, f"dequantize({weight.dtype}) gave {values.dtype}"
        assert values.shape == weight.shape, f"a {list(weight.shape)} weight came back as {list(values.shape)}"
        assert values.isfinite().all(), f"an ordinary weight came back as {form.label} with values that are not finite"
        if form.bits(found.shape) >= 4:
            lost, whole = float((values - weight).float().square().sum()), float(weight.float().square().sum())
            assert lost < 0.2 * whole, f"{lost / whole:.0%} of the weight's square sum was lost in {form.label}"


def check_purity(subject: Subject) -> None:
    """Inputs stay as they are, and the same inputs give the same values, whatever the global random state."""
    for form, weight, calibration in _cases(subject):
        inputs = [weight] if calibration is None else [weight, calibration.gram]
        before = [tensor.clone() for tensor in inputs]
        torch.manual_seed(1)
        first = subject.quantize(weight, form, calibration)
        kept = {name: part.clone() for name, part in {**first.parts, "codes": first.codes}.items()}
        torch.manual_seed(2)
        second = subject.quantize(weight, form, calibration)
        assert all(map(torch.equal, inputs, before)), f"an input was changed (to {form.label})"
        for name, part in {**second.parts, "codes": second.codes}.items():
            assert torch.equal(part, kept[name]), f"the same inputs gave other {name} (to {form.label})"


def check_faults(subject: Subject) -> None:
    """A weight that is not finite is a MaterialiseError, not a wrong result."""
    for form, weight, calibration in _cases(subject):
        spoilt = weight.clone()
        spoilt[1, 2] = torch.nan
        try:
            subject.quantizer().quantize(spoilt, form, calibration, dict(subject.quantizer.options))
        except MaterialiseError:
            continue
        raise AssertionError(f"a weight with a NaN was quantised to {form.label} without a MaterialiseError")


CHECKS: tuple[Callable[[Subject], None], ...] = (check_result, check_purity, check_faults)


def _shown() -> list[str]:
    return [label for name in registry.names("formats") for label in examples(registry.load("formats", name))]


def _cases(subject: Subject) -> Iterator[tuple[Format, torch.Tensor, Calibration | None]]:
    for form in subject.formats:
        shape = next(shape for shape in SHAPES if form.misfit(shape) is None)
        for dtype in DTYPES:
            weight = draw(shape).to(dtype)
            inputs = draw((3 * shape[1], shape[1]), seed=8) * torch.linspace(1, 3, shape[1])
            calibration = Calibration(inputs.T @ inputs / len(inputs), inputs.abs().amax(0))
            yield form, weight, calibration
            if not subject.quantizer.needs_calibration:
                yield form, weight, None
