"""Every installed format keeps its contract, and the check that says so catches those that do not."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from heterosis.core import registry
from heterosis.core.contracts import Format, Grid
from heterosis.core.errors import ConfigurationError
from heterosis.core.quantized_tensor import QuantizedTensor
from heterosis.testing.formats import check_format, check_widths, examples

MORE = ["int1-g64", "int2-g64-asym", "int5-channel-asym", "int6-tensor", "int1-asym", "fp8_e4m3-g64", "ternary-tensor"]


def labels():
    shown = [label for name in registry.names("formats") for label in examples(registry.load("formats", name))]
    return sorted({*shown, *MORE})


@pytest.mark.parametrize("label", labels())
def test_keeps_its_contract(label):
    # turned blocks are whole; columns that QUIK keeps are on no grid
    check_format(label, columns="-h" not in label, on_grid="quik" not in label)


@pytest.mark.parametrize("zeros", ["", "-asym", "-float"])
def test_wider_integers_take_more_and_lose_less(zeros):
    check_widths([f"int{width}-g64{zeros}" for width in range(1, 9)])


def test_wider_floats_lose_less():
    check_widths(["binary-g64", "ternary-g64", "int3-g64", "fp6_e3m2-g64", "fp8_e4m3-g64"])


class HalfGrid(Grid):
    def __init__(self):
        self.parts = {}

    def round(self, values, first=0):
        return (values * 64).round().clamp(-99, 99).to(torch.int8)

    def values(self, codes, first=0):
        return codes.float() / 64


@dataclass(frozen=True, eq=False, repr=False)
class Sixtyfourths(Format):
    """Keeps its contract; what breaks it is derived from it."""

    family = "sixtyfourths"
    pattern = "sixtyfourths"

    @classmethod
    def parse(cls, label):
        return cls() if label == "sixtyfourths" else None

    @property
    def label(self):
        return "sixtyfourths"

    def nbytes(self, shape):
        return shape[0] * shape[1]

    def fit(self, weight, importance=None, search="minmax", dtype=torch.bfloat16):
        if search != "minmax" or self.misfit(tuple(weight.shape)):
            raise ConfigurationError("no")
        return HalfGrid()

    def dequantize(self, tensor: QuantizedTensor, dtype):
        return HalfGrid().values(tensor.codes).to(dtype)


class OtherLabel(Sixtyfourths):
    @property
    def label(self):
        return "thirtyseconds"


class GivesFloat32(Sixtyfourths):
    def dequantize(self, tensor, dtype):
        return HalfGrid().values(tensor.codes)


class OffTheGrid(Sixtyfourths):
    def dequantize(self, tensor, dtype):
        return super().dequantize(tensor, dtype) * 1.001


class Unrepeatable(Sixtyfourths):
    def fit(self, weight, importance=None, search="minmax", dtype=torch.bfloat16):
        torch.rand(1)
        return super().fit(weight, importance, search, dtype)


class Writes(Sixtyfourths):
    def fit(self, weight, importance=None, search="minmax", dtype=torch.bfloat16):
        weight[0] = 0
        return super().fit(weight, importance, search, dtype)


class SameSize(Sixtyfourths):
    def nbytes(self, shape):
        return 64


class TakesEverything(Sixtyfourths):
    def misfit(self, shape):
        return None if shape[-1] % 4 == 0 and len(shape) == 2 else "columns in fours"

    def fit(self, weight, importance=None, search="minmax", dtype=torch.bfloat16):
        return HalfGrid()


class AnySearch(Sixtyfourths):
    def fit(self, weight, importance=None, search="minmax", dtype=torch.bfloat16):
        return HalfGrid()


def test_a_format_of_ones_own():
    check_format(Sixtyfourths())


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (OtherLabel, "read back"),
        (GivesFloat32, "dequantize"),
        (OffTheGrid, "nearest"),
        (Unrepeatable, "random state"),
        (Writes, "weight was changed"),
        (SameSize, "more bytes"),
        (TakesEverything, "misfit"),
        (AnySearch, "unknown search"),
    ],
)
def test_what_breaks_the_contract_is_caught(broken, message):
    with pytest.raises(AssertionError, match=message):
        check_format(broken())


def test_a_format_that_fits_no_shape():
    with pytest.raises(AssertionError, match="shapes that it fits"):
        check_format("int4-g97")


def test_widths_out_of_order():
    with pytest.raises(AssertionError, match="takes"):
        check_widths(["int4-g64", "int3-g64"])
