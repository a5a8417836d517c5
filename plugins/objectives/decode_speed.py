"""Decode speed: how many tokens a second a model generates in the engine that it is searched for."""

from __future__ import annotations

from ...core.contracts import Measured, Objective
from ...core.estimate import Estimate
from .engine import figure


class DecodeSpeed(Objective):
    """Measured: the candidate is exported and run, one sequence after a short prompt. To be maximised.

    It depends on the machine, and on what else that computes; candidates of different machines do not compare.
    """

    name = "decode_speed"
    unit = "tokens/s"
    uses_engine = True

    def measure(self, measured: Measured) -> Estimate:
        """Tokens per second, above 0: the median of a few runs. Raises ConfigurationError if it was not run."""
        return figure(measured, self.name, "decode_speed")
