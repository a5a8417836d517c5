"""Bits: what a weight of the linear layers takes on average."""

from __future__ import annotations

from ...core.contracts import Measured, Objective
from ...core.estimate import Estimate


class Bits(Objective):
    """Exact, from the plan, without a weight; scales and all, embedding and output left out. To be minimised."""

    name = "bits"
    unit = "bits per weight"

    def measure(self, measured: Measured) -> Estimate:
        """Bits per weight."""
        return Estimate(measured.costs.bits, 0.0, 1)
