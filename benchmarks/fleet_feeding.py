"""How evaluations come to the simulated queue: as results arrive, generation after generation, or on their own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from .fleet_workload import Evaluation

if TYPE_CHECKING:
    from .fleet_simulator import Simulation


class Feeding(ABC):
    """Called by the simulation; puts evaluations in with `simulation.propose`."""

    @abstractmethod
    def start(self, simulation: Simulation) -> None:
        """Puts in the first ones."""

    def over(self, simulation: Simulation) -> None:  # noqa: B027  (arrivals do not depend on results)
        """An evaluation is over: done, or failed."""


class SteadyState(Feeding):
    """As many under way as there are workers, and a quarter more; a new one for each result, as the study loop does."""

    def __init__(self, draw: Callable[[], Evaluation]) -> None:
        self._draw = draw
        self._under_way = 0

    def start(self, simulation: Simulation) -> None:
        self._fill(simulation)

    def over(self, simulation: Simulation) -> None:
        self._under_way -= 1
        self._fill(simulation)

    def _fill(self, simulation: Simulation) -> None:
        slots = simulation.slots
        while self._under_way < slots + max(1, slots // 4):
            self._under_way += 1
            simulation.propose(self._draw())


class Generations(Feeding):
    """The next `size` when all of the last are over: the barrier."""

    def __init__(self, draw: Callable[[], Evaluation], size: int) -> None:
        self._draw, self._size = draw, size
        self._under_way = 0

    def start(self, simulation: Simulation) -> None:
        self._under_way = self._size
        for _ in range(self._size):
            simulation.propose(self._draw())

    def over(self, simulation: Simulation) -> None:
        self._under_way -= 1
        if self._under_way == 0:
            self.start(simulation)


class Arrivals(Feeding):
    """Each at its own time."""

    def __init__(self, evaluations: Sequence[Evaluation]) -> None:
        self._evaluations = evaluations

    def start(self, simulation: Simulation) -> None:
        for one in self._evaluations:
            simulation.clock.after(one.arrives_at, lambda one=one: simulation.propose(one))  # type: ignore[misc]
