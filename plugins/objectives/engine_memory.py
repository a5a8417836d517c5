"""Engine memory: what a model takes at its peak, loading included, in the engine that it is searched for."""

from __future__ import annotations

from ...core.contracts import Measured, Objective
from ...core.estimate import Estimate
from .engine import figure


class EngineMemory(Objective):
    """Measured once, of a process that loads the exported candidate and generates a few tokens. To be minimised.

    Engines that dequantise as they load take more than the files have; `memory` is what could do.
    """

    name = "engine_memory"
    unit = "bytes"
    uses_engine = True

    def measure(self, measured: Measured) -> Estimate:
        """Bytes, its error unknown. Raises ConfigurationError if it was not run."""
        return figure(measured, self.name, "memory")
