"""Parameters: how many weights the model has."""

from __future__ import annotations

from ...core.contracts import Measured, Objective
from ...core.estimate import Estimate


class Parameters(Objective):
    """Exact, from the plan, without a weight. To be minimised."""

    name = "parameters"
    unit = "weights"

    def measure(self, measured: Measured) -> Estimate:
        """The number of weights; one that is tied counts once."""
        return Estimate(float(measured.costs.parameters), 0.0, 1)
