"""Every installed quantiser keeps its contract, and the check that says so catches those that do not."""

from __future__ import annotations

import pytest
import torch
from heterosis.core import registry
from heterosis.core.quantization.level import format_of
from heterosis.plugins.quantize.rtn import RoundToNearest
from heterosis.testing.quantizers import check_quantizer


@pytest.mark.parametrize("name", registry.names("quantizers"))
def test_keeps_its_contract(name):
    check_quantizer(name)


class Writes(RoundToNearest):
    def quantize(self, weight, format, calibration, options):  # noqa: A002
        return super().quantize(weight.mul_(0.5), format, calibration, options)


class Draws(RoundToNearest):
    def quantize(self, weight, format, calibration, options):  # noqa: A002
        return super().quantize(weight + 0.001 * torch.rand(weight.shape), format, calibration, options)


class PassesNan(RoundToNearest):
    def quantize(self, weight, format, calibration, options):  # noqa: A002
        return super().quantize(weight.nan_to_num(), format, calibration, options)


class AnotherFormat(RoundToNearest):
    def quantize(self, weight, format, calibration, options):  # noqa: A002
        return super().quantize(weight, format_of("int8-g64"), calibration, options)


class Halves(RoundToNearest):
    def quantize(self, weight, format, calibration, options):  # noqa: A002
        return super().quantize(weight * 0.5, format, calibration, options)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (Writes, "input was changed"),
        (Draws, "the same inputs gave other"),
        (PassesNan, "NaN"),
        (AnotherFormat, "asked for"),
        (Halves, "was lost"),
    ],
)
def test_what_breaks_the_contract_is_caught(broken, message):
    with pytest.raises(AssertionError, match=message):
        check_quantizer(broken, ["int4-g64", "int2-g64"])


def test_a_quantiser_that_can_do_nothing():
    class Picky(RoundToNearest):
        def misfit(self, format):  # noqa: A002
            return "not today"

    with pytest.raises(AssertionError, match="give the check `labels`"):
        check_quantizer(Picky)
