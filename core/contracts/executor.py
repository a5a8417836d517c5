"""Contract `heterosis.executors`: where candidates are evaluated."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any


class Executor(ABC):
    """Evaluates what the database says is to be evaluated; only ids pass through here.

    A study makes its executor once, as `plugin(store, evaluator, **options)`, and runs stage after stage through it.
    """

    @abstractmethod
    def __init__(self, store: Any, evaluator: Any, **options: Any) -> None:  # of rooms that are built on this one
        """Prepares for a study; nothing is loaded yet.

        Args:
            store: `heterosis.storage.Store`, the open database: evaluations are claimed in its queue, recipes are read
                from it, and results written to it. Another process opens a store of its own.
            evaluator: `heterosis.fitness.evaluator.Evaluator`, which knows the study's checkpoints, items and
                objectives, and evaluates a recipe at a stage on the study's device. An executor that evaluates
                elsewhere makes another there, of the same `spec`.
            options: the executor's own (how many workers, which broker).

        Raises:
            ConfigurationError: an option is unknown or cannot be used.
        """

    @property
    def slots(self) -> int:
        """How many candidates are evaluated at the same time: as many should be under way."""
        return 1

    @property
    def ahead(self) -> int:
        """How many more should wait, so that whoever is done need not wait for the next."""
        return max(self.slots // 4, 1)

    @abstractmethod
    def submit(self, evaluation_ids: Sequence[str]) -> None:
        """These are to be evaluated; returns at once. Those given together may be computed together.

        What is over already is not evaluated for its own sake. It is among the ids so that an executor which computes
        several together can do so in the same company as if it had never been interrupted.
        """

    @abstractmethod
    def wait(self) -> list[str]:
        """The ids, submitted and not yet given back, of evaluations that are over; waits until there is one.

        Their results (or failures) are in the database. Empty only if nothing is submitted.
        """

    def run(self, evaluation_ids: Sequence[str]) -> Iterator[str]:
        """Evaluates all of these; yields each id when its result is recorded."""
        self.submit(evaluation_ids)
        while over := self.wait():
            yield from over

    def recover(self, study_id: str) -> None:  # noqa: B027  (an executor may have nothing to take back)
        """Called when a study goes on: takes back what a process that has ended left behind."""

    def close(self) -> None:  # noqa: B027  (an executor may have nothing to give back)
        """Gives back what is held: devices, memory, processes."""
