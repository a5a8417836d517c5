"""Kernels for the CPU: a form in one pass over the data, float32 inside whatever is stored; they release the GIL."""

from .run import run, runs

__all__ = ["run", "runs"]
