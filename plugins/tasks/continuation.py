"""How far a prompt is continued: the options that all tasks share which let the model write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...core.contracts import Item, LanguageModel
from ...core.errors import ConfigurationError
from ...core.parsing import texts_of, whole_number_of

CONTINUATION_OPTIONS = ("max_tokens", "stop")


@dataclass(frozen=True)
class Continuation:
    """The greedy continuation of an item's prompt, of at most `max_tokens` tokens, cut before the first of `stop`."""

    max_tokens: int = 32
    stop: tuple[str, ...] = ("\n",)

    @classmethod
    def of(cls, options: Mapping[str, Any], where: str, max_tokens: int) -> Continuation:
        """Reads the options; `max_tokens` is the default of the option, a line feed that of `stop`.

        Raises:
            ConfigurationError: an option cannot be used.
        """
        stop = texts_of(options.get("stop", "\n"), f"{where}, stop")
        if not all(stop):
            raise ConfigurationError(f"{where}, stop: a stop text is empty; it would end every text before it begins")
        most = whole_number_of(options.get("max_tokens", max_tokens), f"{where}, max_tokens", at_least=1)
        return cls(most, tuple(stop))

    @property
    def rule(self) -> Mapping[str, Any]:
        """The options, JSON-ready."""
        return {"max_tokens": self.max_tokens, "stop": list(self.stop)}

    def texts(self, model: LanguageModel, items: Sequence[Item]) -> list[str]:
        """What the model writes after each item's `prompt`, in order."""
        return model.generate([item.data["prompt"] for item in items], self.max_tokens, self.stop)
