"""Kernels for the CPU: one pass over the data, float32 inside whatever is stored; they release the GIL."""

from .run import magnitude_sum, magnitudes_between, run, runs

__all__ = ["magnitude_sum", "magnitudes_between", "run", "runs"]
