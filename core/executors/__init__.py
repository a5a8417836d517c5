"""The executors of a plan: live (a resident model), disk (a folder) and meta (costs)."""

from .disk import write_model
from .live import LiveExecutor, resident_model
from .meta import costs

__all__ = ["LiveExecutor", "costs", "resident_model", "write_model"]
