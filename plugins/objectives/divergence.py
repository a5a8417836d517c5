"""Divergence from a reference, on one or more texts."""

from __future__ import annotations

from ...core.contracts import Measured, Objective
from ...core.errors import ConfigurationError
from ...core.estimate import Estimate


class DivergenceObjective(Objective):
    """The mean of the divergences of tasks of the type `divergence`, each counted the same. To be minimised."""

    name = "divergence"
    unit = "nats per token"
    uses_tasks = True

    def measure(self, measured: Measured) -> Estimate:
        """The mean of the tasks' divergences, in nats per token, at least 0.

        Raises:
            ConfigurationError: there is no task, or one whose figure is no divergence.
        """
        for task, estimate in measured.estimates.items():
            if estimate.mean < 0:
                raise ConfigurationError(
                    f"a divergence is at least 0, but task {task!r} gives {estimate.mean:g}; is its type divergence?"
                )
        if not measured.estimates:
            raise ConfigurationError("divergence needs a task")
        return Estimate.mean_of(list(measured.estimates.values()))
