"""How many tokens a candidate is asked, known without a model: tasks ask one that only counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from transformers import AutoConfig, AutoTokenizer, PreTrainedModel

from ..core.contracts import LanguageModel
from ..core.errors import EvaluationError
from .forward_schedule import plant
from .item_sets import StagedItems
from .token_cache import TokenCache

_WIDEST = 512


@dataclass(frozen=True)
class TokenCount:
    """Attributes: `read`, tokens that go through the model, shared beginnings once; `written`, at most, one by one."""

    read: int
    written: int


def token_counts(items: Mapping[str, StagedItems], directory: Path) -> dict[str, TokenCount | None]:
    """For each task, by name, what its items ask of each candidate; None if the task cannot be asked without a model.

    Args:
        directory: of a checkpoint, with its config and tokenizer.

    Raises:
        EvaluationError: an item is empty, or too long for the model.
    """
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    config = AutoConfig.from_pretrained(directory, **local)
    tokenizer = AutoTokenizer.from_pretrained(directory, **local)
    model = cast(PreTrainedModel, SimpleNamespace(config=config))  # only its number of positions is looked at
    return {name: _count(group, TokenCache(model, tokenizer)) for name, group in items.items()}


def _count(group: StagedItems, tokens: TokenCache) -> TokenCount | None:
    model = _Counting(tokens)
    try:
        group.task.score(model, group.items)
    except EvaluationError:
        raise
    except Exception:  # a task that does more with the answers than to score them
        return None
    return TokenCount(model.read, model.written)


class _Counting(LanguageModel):
    """Answers nothing, and counts what it is asked."""

    def __init__(self, tokens: TokenCache) -> None:
        self.read = self.written = 0
        self._tokens = tokens

    def choice_log_likelihoods(self, requests: Sequence[tuple[str, Sequence[str]]]) -> list[list[float]]:
        """Zeros; beginnings that are shared count once."""
        asked = []
        for prompt, continuations in requests:
            if continuations:
                start = self._tokens.prompt(prompt)
                ends = [self._tokens.continuation(text, prompt) for text in continuations]
                self._tokens.check_length(len(start) + max(map(len, ends)), prompt)
                asked.append((start, ends))
        self.read += sum(map(len, plant(asked, self._tokens.limit or 1 << 30, _WIDEST).trees))
        return [[0.0] * len(continuations) for _, continuations in requests]

    def text_log_likelihoods(self, texts: Sequence[str]) -> list[tuple[float, int]]:
        """Zeros."""
        counts = []
        for text in texts:
            counts.append(len(self._tokens.prompt(text)))
            self._tokens.check_length(counts[-1], text)
        self.read += sum(counts)
        return [(0.0, count - 1) for count in counts]

    def divergences(self, texts: Sequence[str], reference: str, top: int) -> list[tuple[float, int]]:
        """Zeros; what the reference reads is not counted."""
        return self.text_log_likelihoods(texts)

    def generate(self, prompts: Sequence[str], max_tokens: int, stop: Sequence[str] = ()) -> list[str]:
        """Empty texts; as many tokens count as written as there may be."""
        for prompt in prompts:
            count = len(self._tokens.prompt(prompt))
            self._tokens.check_length(count + max_tokens, prompt)
            self.read += count
        self.written += max_tokens * len(prompts)
        return [""] * len(prompts)
