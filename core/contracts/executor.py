"""Contract `heterosis.executors`: where candidates are evaluated."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any


class Executor(ABC):
    """Evaluates what the database says is to be evaluated; only ids pass through here.

    A study makes its executor once, as `plugin(store, evaluator)`, and runs stage after stage through it.
    """

    @abstractmethod
    def __init__(self, store: Any, evaluator: Any) -> None:  # of rooms that are built on this one
        """Prepares for a study; nothing is loaded yet.

        Args:
            store: `heterosis.storage.Store`, the open database: evaluations are claimed in its queue, recipes are read
                from it, and results written to it. Another process opens a store of its own.
            evaluator: `heterosis.fitness.evaluator.Evaluator`, which knows the study's checkpoints, items and
                objectives, and evaluates a recipe at a stage on the study's device. An executor that evaluates
                elsewhere makes another there, of the same `spec`.
        """

    @abstractmethod
    def run(self, evaluation_ids: Sequence[str]) -> Iterator[str]:
        """Evaluates each, records the result (or the failure) in the database, and yields its id when that is done.

        What is over already is not evaluated for its own sake. It is among the ids so that an executor which computes
        several together can do so in the same company as if it had never been interrupted.
        """

    def close(self) -> None:  # noqa: B027  (an executor may have nothing to give back)
        """Gives back what is held: devices, memory, processes."""
