"""Perplexity of one or more texts."""

from __future__ import annotations

from ...core.contracts import Measured, Objective
from ...core.errors import ConfigurationError
from ...core.estimate import Estimate


class PerplexityObjective(Objective):
    """The mean of the perplexities of tasks of the type `perplexity`, each counted the same. To be minimised."""

    name = "perplexity"
    uses_tasks = True

    def measure(self, measured: Measured) -> Estimate:
        """The mean of the tasks' perplexities, at least 1.

        Raises:
            ConfigurationError: there is no task, or one whose figure is no perplexity.
        """
        for task, estimate in measured.estimates.items():
            if estimate.mean < 1:
                raise ConfigurationError(
                    f"a perplexity is at least 1, but task {task!r} gives {estimate.mean:g}; is its type perplexity?"
                )
        if not measured.estimates:
            raise ConfigurationError("perplexity needs a task")
        return Estimate.mean_of(list(measured.estimates.values()))
