"""Memory: what a model needs while it generates: its weights, and the keys and values of 2048 tokens."""

from __future__ import annotations

from ...core.contracts import Measured, Objective
from ...core.estimate import Estimate


class Memory(Objective):
    """Foretold from the plan, without a weight, as a budget of memory counts it. To be minimised.

    What an engine really takes is measured when a model is exported, and noted with the candidate.
    """

    name = "memory"
    unit = "bytes"

    def measure(self, measured: Measured) -> Estimate:
        """Bytes of the weight files and of a cache in 16 bits."""
        return Estimate(float(measured.costs.memory), 0.0, 1)
