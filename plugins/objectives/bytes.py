"""Bytes: how much the weights take on disk and in memory."""

from __future__ import annotations

from ...core.contracts import Measured, Objective
from ...core.estimate import Estimate


class Bytes(Objective):
    """Exact, from the plan, without a weight. To be minimised."""

    name = "bytes"
    unit = "bytes"

    def measure(self, measured: Measured) -> Estimate:
        """The bytes of the model's tensors."""
        return Estimate(float(measured.costs.bytes), 0.0, 1)
