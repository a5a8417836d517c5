"""What is measured on a simulated fleet: busy share, evaluations done in time, cost; means and standard errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .fleet_simulator import Simulation
from .fleet_workload import Evaluation


def busy_share(simulation: Simulation) -> float:
    """Workers' time spent evaluating, divided by their time alive (start-up, fetching and messages included)."""
    now = simulation.clock.now
    busy = alive = 0.0
    for worker in simulation.workers:
        alive += min(worker.lifetime, now - worker.joined_at)
        busy += worker.busy_seconds
        if worker.evaluating_since is not None:
            busy += now - worker.evaluating_since
    return busy / alive


def in_time_share(simulation: Simulation, of: Callable[[Evaluation], bool] = lambda _: True) -> float:
    """The share of evaluations, of some or all, that were done by their deadline."""
    found = [one.in_time for one in simulation.evaluations if of(one)]
    return sum(found) / len(found)


def cost(simulation: Simulation) -> float:
    """In dollars: every device is paid for from claiming work to ending it, fetching and lost work included."""
    return sum(worker.held_seconds / 3600.0 * worker.host.kind.price_per_hour for worker in simulation.workers)


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """The mean of independent runs, and its standard error."""
    return float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values)))


def shown(values: Sequence[float], scale: float = 100.0, digits: int = 1) -> str:
    """Mean ± standard error, by default in percent."""
    mean, error = mean_and_error([scale * value for value in values])
    return f"{mean:.{digits}f} ± {error:.{digits}f}"


def lower_end(values: Sequence[float]) -> float:
    """Of the 95% interval of a mean (Student's t): what it is at least, beyond noise."""
    from scipy.stats import t

    mean, error = mean_and_error(values)
    return mean - float(t.ppf(0.975, len(values) - 1)) * error
