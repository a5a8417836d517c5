"""Exact match: the text that the model generates must be the answer."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...core.contracts import Item, LanguageModel, Task
from ...core.errors import ConfigurationError
from ...core.parsing import check_keys, text_of, texts_of
from .continuation import CONTINUATION_OPTIONS, Continuation
from .jsonl import read_items
from .numbers import read_numbers

OPTIONS = (*CONTINUATION_OPTIONS, "ignore_case", "numbers")


class ExactMatch(Task):
    """Scores 1 if the greedy continuation of the prompt is one of the answers, else 0; space around it is dropped.

    A file has a line for each item: `prompt`, `answer` (text, a number, or a list of texts that are all right), and
    perhaps `id`.

    Options:
        max_tokens: how many tokens are generated at most (default 32).
        stop: a text or a list of texts; the continuation ends before the first of them (default: a line feed).
        ignore_case: whether capital and small letters are the same (default false).
        numbers: whether the last number in the continuation is compared with the answer's number (default false).
            `1,234` equals `1234`, and `3.50` equals `3.5`.
    """

    name = "exact_match"

    def __init__(
        self, items: tuple[Item, ...], continuation: Continuation, ignore_case: bool = False, numbers: bool = False
    ) -> None:
        self.items = items
        self._continuation = continuation
        self._ignore_case, self._numbers = ignore_case, numbers
        self.rule = {"version": 2, **continuation.rule, "ignore_case": ignore_case, "numbers": numbers}

    @classmethod
    def open(cls, path: Path, **options: Any) -> ExactMatch:
        """Reads the items of a file.

        Raises:
            ConfigurationError: the file is missing, empty or malformed (with the line), or an option is unknown.
        """
        where = f"task type {cls.name}"
        check_keys(options, OPTIONS, where)
        numbers = _yes_or_no(options.get("numbers", False), f"{where}, numbers")
        return cls(
            read_items(path, ("prompt", "answer"), _parse_numbers if numbers else _parse),
            Continuation.of(options, where, max_tokens=32),
            ignore_case=_yes_or_no(options.get("ignore_case", False), f"{where}, ignore_case"),
            numbers=numbers,
        )

    def score(self, model: LanguageModel, items: Sequence[Item]) -> list[float]:
        """The responses: 1.0 or 0.0 for each of `items`, in order."""
        texts = self._continuation.texts(model, items)
        return [float(self._is_right(text, item.data["answer"])) for item, text in zip(items, texts, strict=True)]

    def _is_right(self, text: str, answers: Sequence[str]) -> bool:
        if self._numbers:
            found = read_numbers(text)
            return bool(found) and any(found[-1] == read_numbers(answer)[0] for answer in answers)
        return self._plain(text) in [self._plain(answer) for answer in answers]

    def _plain(self, text: str) -> str:
        # one letter may be written in several ways (an accent apart or not); they read the same
        text = unicodedata.normalize("NFC", text.strip())
        return text.casefold() if self._ignore_case else text


def _parse(content: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    prompt = text_of(content["prompt"], f"{where}: `prompt`")
    answer = content["answer"]
    if isinstance(answer, int | float) and not isinstance(answer, bool):
        answer = str(answer)
    answers = texts_of(answer, f"{where}: `answer`")
    if not prompt or not answers or not all(answer.strip() for answer in answers):
        raise ConfigurationError(f"{where}: the prompt or an answer is empty")
    return {"prompt": prompt, "answer": answers}


def _parse_numbers(content: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    data = _parse(content, where)
    for answer in data["answer"]:
        if len(read_numbers(answer)) != 1:
            raise ConfigurationError(f"{where}: with `numbers`, an answer must hold one number, not {answer!r}")
    return data


def _yes_or_no(content: Any, where: str) -> bool:
    if not isinstance(content, bool):
        raise ConfigurationError(f"{where} must be true or false, not {content!r}")
    return content
