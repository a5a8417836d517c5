"""Kappa: how well a model's grades agree with the right ones."""

from __future__ import annotations

from ...core.contracts import Measured, Objective
from ...core.errors import ConfigurationError
from ...core.estimate import Estimate


class Kappa(Objective):
    """The mean of the quadratic weighted kappas of tasks of the type `graded`, each counted the same.

    To be maximised; in [-1, 1], 0 is what guessing brings.
    """

    name = "kappa"
    uses_tasks = True

    def measure(self, measured: Measured) -> Estimate:
        """The mean of the tasks' kappas.

        Raises:
            ConfigurationError: there is no task, or one whose figure is no kappa.
        """
        for task, estimate in measured.estimates.items():
            if not -1 <= estimate.mean <= 1:
                raise ConfigurationError(
                    f"a kappa lies between -1 and 1, but task {task!r} gives {estimate.mean:g}; is its type graded?"
                )
        if not measured.estimates:
            raise ConfigurationError("kappa needs a task")
        return Estimate.mean_of(list(measured.estimates.values()))
