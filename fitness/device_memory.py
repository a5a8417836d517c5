"""Device memory: how much an evaluation took, and going on with less where it ran out."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TypeVar

import torch

T = TypeVar("T")
_CPU_ALLOCATOR = "can't allocate memory"


def with_less_memory(work: Callable[[], T], less: Callable[[], bool]) -> T:
    """What `work` gives, tried again with less as long as memory runs out.

    Args:
        less: arranges for the next try to take less; False if it cannot.

    Raises:
        MemoryError: it runs out with the least.
    """
    while True:
        try:
            return work()
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            reason = str(error).splitlines()[0] if str(error) else "out of memory"
        # outside of the handler, whose traceback keeps the tensors of the failed try alive
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if not less():
            raise MemoryError(f"{reason} (in the smallest batches, too)")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on the device or on the host."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and _CPU_ALLOCATOR in str(error)


def reset_peak(device: torch.device) -> None:
    """From now on `peak_bytes` counts anew."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_bytes(device: torch.device) -> int | None:
    """The most memory that was allocated on the device since `reset_peak`; None where it does not tell."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
