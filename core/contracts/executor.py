"""Contract `heterosis.executors`: where candidates are evaluated."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence


class Executor(ABC):
    """Evaluates what the database says is to be evaluated; only ids pass through here."""

    @abstractmethod
    def run(self, evaluation_ids: Sequence[str]) -> Iterator[str]:
        """Evaluates each, records the result (or the failure) in the database, and yields its id when that is done."""

    def close(self) -> None:  # noqa: B027  (an executor may have nothing to give back)
        """Gives back what is held: devices, memory, processes."""
