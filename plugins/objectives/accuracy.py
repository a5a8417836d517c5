"""Accuracy: the mean score of one or more tasks."""

from __future__ import annotations

from ...core.contracts import Measured, Objective
from ...core.errors import ConfigurationError
from ...core.estimate import Estimate


class Accuracy(Objective):
    """Each task counts the same, whatever its number of items. To be maximised."""

    name = "accuracy"
    unit = "share of the score"
    share = True
    uses_tasks = True

    def measure(self, measured: Measured) -> Estimate:
        """The mean of the tasks' estimates, in [0, 1].

        Raises:
            ConfigurationError: there is no task, or one whose figure is no share (a perplexity, a negative kappa).
        """
        for task, estimate in measured.estimates.items():
            if not 0 <= estimate.mean <= 1:
                raise ConfigurationError(f"accuracy lies between 0 and 1, but task {task!r} gives {estimate.mean:g}")
        if not measured.estimates:
            raise ConfigurationError("accuracy needs a task")
        return Estimate.mean_of(list(measured.estimates.values()))
