"""What a task asks of a model first, found out without a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from ..core.contracts import LanguageModel
from .item_sets import StagedItems


class FirstRequest(LanguageModel):
    """Notes the first request and answers nothing; most tasks make but one.

    Attributes:
        choices: what `choice_log_likelihoods` was asked, if that came first.
        texts: what `text_log_likelihoods` was asked, if that came first.
        compared: what `divergences` was asked, if that came first.
    """

    def __init__(self, group: StagedItems) -> None:
        self.choices: tuple[tuple[str, tuple[str, ...]], ...] = ()
        self.texts: tuple[str, ...] = ()
        self.compared: tuple[tuple[str, ...], str, int] | None = None
        try:
            group.task.score(self, group.items)
        except Exception:  # ours, or whatever a task makes of it
            return

    def choice_log_likelihoods(self, requests: Sequence[tuple[str, Sequence[str]]]) -> NoReturn:
        """Notes the requests."""
        self.choices = tuple((prompt, tuple(continuations)) for prompt, continuations in requests)
        raise _NotedError

    def text_log_likelihoods(self, texts: Sequence[str]) -> NoReturn:
        """Notes the texts."""
        self.texts = tuple(texts)
        raise _NotedError

    def divergences(self, texts: Sequence[str], reference: str, top: int) -> NoReturn:
        """Notes the texts and how they are compared."""
        self.compared = tuple(texts), reference, top
        raise _NotedError

    def generate(self, prompts: Sequence[str], max_tokens: int, stop: Sequence[str] = ()) -> NoReturn:
        """Notes nothing."""
        raise _NotedError


class _NotedError(Exception):
    pass
