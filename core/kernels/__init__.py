"""Kernels: forms in one pass over the data, float32 inside whatever is stored; those for the CPU release the GIL."""

from .device import run_on_device
from .elements import STORED, Array, array
from .run import magnitude_sum, magnitudes_between, run, runs

__all__ = ["STORED", "Array", "array", "magnitude_sum", "magnitudes_between", "run", "run_on_device", "runs"]
