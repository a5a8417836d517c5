"""How a study asks candidates few items first, so that only the best of them are asked everything."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from .errors import ConfigurationError, did_you_mean
from .parsing import check_keys, mapping_of, share_of, text_of, whole_number_of

SCREEN = "screen"
"""What the mean response of a candidate that was screened out is called among its measurements."""
_KEYS = ("task", "items", "keep")


@dataclass(frozen=True)
class ScreenSpec:
    """The first stage of two: the candidates of an ask answer few items of one task, and the best go on.

    Attributes:
        task: whose items are asked; one with search items.
        items: how many, the first so many of its search items, the same for all candidates.
        keep: the share in (0, 1] of an ask's new candidates that is asked everything, rounded, and at least one.
    """

    task: str
    items: int = 8
    keep: float = 0.5

    @classmethod
    def from_dict(cls, content: Any, tasks: Collection[str], where: str) -> ScreenSpec | None:
        """Reads `screen` of a study file; None where there is none.

        Args:
            tasks: the names of those that have search items.

        Raises:
            ConfigurationError: a key or the task is unknown, or a value cannot be used.
        """
        if content is None:
            return None
        content = mapping_of(content, where)
        check_keys(content, _KEYS, where)
        task = text_of(content.get("task"), f"{where}, task")
        if task not in tasks:
            raise ConfigurationError(f"{where}: unknown task {task!r}, or without items. {did_you_mean(task, tasks)}")
        keep = share_of(content.get("keep", cls.keep), f"{where}, keep")
        if keep == 0:
            raise ConfigurationError(f"{where}, keep must be more than 0 (of none that is kept, nothing is learned)")
        return cls(task, whole_number_of(content.get("items", cls.items), f"{where}, items", at_least=1), keep)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready content that `from_dict` reads back."""
        return {"task": self.task, "items": self.items, "keep": self.keep}

    def count(self, candidates: int) -> int:
        """How many of so many candidates go on."""
        return min(max(round(self.keep * candidates), 1), candidates)
