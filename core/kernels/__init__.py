"""Kernels: forms in one pass over the data, float32 inside whatever is stored; those for the CPU release the GIL."""

from .device import run_on_device
from .run import magnitude_sum, magnitudes_between, run, runs

__all__ = ["magnitude_sum", "magnitudes_between", "run", "run_on_device", "runs"]
