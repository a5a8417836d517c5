"""One element in and out of a kernel: float32 as it is, bfloat16 as the 16-bit integers that numpy sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from numba import njit, types
from numba.extending import intrinsic, overload

STORED = (torch.float32, torch.bfloat16)
"""The dtypes that kernels read and write."""

_U = np.uint32
_INFINITE = _U(0x7F800000)


Array: TypeAlias = npt.NDArray[Any]
"""What kernels read and write: one dimension, float32, or uint16 that stands for bfloat16."""


def array(tensor: torch.Tensor) -> Array:
    """The tensor flattened for kernels: its own memory if it is contiguous and of a dtype in `STORED`, else a copy."""
    flat = tensor.detach().reshape(-1)
    if flat.dtype == torch.bfloat16:
        return flat.view(torch.uint16).numpy()
    return flat.float().numpy()


def alike(arrays: Sequence[Array]) -> tuple[Array, ...]:
    """Arrays of one dtype: as they are, or all float32 if some are."""
    if len({values.dtype for values in arrays}) == 1:
        return tuple(arrays)
    return tuple(
        (values.astype(np.uint32) << 16).view(np.float32) if values.dtype == np.uint16 else values for values in arrays
    )


@intrinsic
def as_float(_: Any, bits: Any) -> Any:
    """The float32 that has these bits."""
    from llvmlite import ir

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.uint32), generate


@intrinsic
def as_bits(_: Any, number: Any) -> Any:
    """The bits of a float32."""
    from llvmlite import ir

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.uint32(types.float32), generate


def wide(stored: Any) -> Any:
    """The float32 of an array's element. For kernels only: numba puts what fits the dtype in its place."""
    raise NotImplementedError("call it from a compiled kernel")


@overload(wide, inline="always")
def _wide(stored):  # type: ignore[no-untyped-def]  # numba compares signatures, annotations included
    if stored == types.uint16:
        return lambda stored: as_float(_U(stored) << _U(16))  # type: ignore[call-arg]
    return lambda stored: stored


def narrow(value: Any, target: Any) -> Any:
    """A float32 as an element of the array `target`: rounded to the nearest, ties to even, if that is bfloat16.

    For kernels only, as `wide`.
    """
    raise NotImplementedError("call it from a compiled kernel")


@overload(narrow, inline="always")
def _narrow(value, target):  # type: ignore[no-untyped-def]
    if target.dtype == types.uint16:
        return lambda value, target: _rounded(as_bits(value))  # type: ignore[call-arg]
    return lambda value, target: value


@njit(inline="always")
def _rounded(bits: Any) -> Any:
    return np.uint16((bits + _U(0x7FFF) + ((bits >> _U(16)) & _U(1))) >> _U(16))


@njit(inline="always")
def exponent(value: Any) -> Any:
    """A float32's exponent bits, which are largest for infinity and NaN."""
    return as_bits(value) & _INFINITE  # type: ignore[call-arg]


@njit(inline="always")
def is_finite(largest_exponent: Any) -> Any:
    """Whether the values are finite of whose `exponent` this is the largest."""
    return largest_exponent < _INFINITE
