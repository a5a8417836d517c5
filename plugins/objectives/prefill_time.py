"""Prefill time: how long a model takes to read a prompt in the engine that it is searched for."""

from __future__ import annotations

from ...core.contracts import Measured, Objective
from ...core.estimate import Estimate
from .engine import figure


class PrefillTime(Objective):
    """Measured: the candidate is exported and run on a prompt of 64 tokens. To be minimised.

    It depends on the machine, and on what else that computes; candidates of different machines do not compare.
    """

    name = "prefill_time"
    unit = "ms"
    uses_engine = True

    def measure(self, measured: Measured) -> Estimate:
        """Milliseconds, above 0: the median of a few runs. Raises ConfigurationError if it was not run."""
        return figure(measured, self.name, "prefill_ms")
