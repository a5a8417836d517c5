"""Calibration texts: what statistics are gathered on, from a file to sequences of tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import ConfigurationError
from .token_cache import TokenCache


@dataclass(frozen=True)
class Piece:
    """A text or a part of one: token ids, two at least, and about how many bytes of text they stand for."""

    tokens: tuple[int, ...]
    nbytes: int


def read_texts(path: Path) -> list[str]:
    """The texts of a UTF-8 file, in its order; blank lines are skipped.

    A `.jsonl` file has one JSON object a line: either its `text`, or its `prompt`, followed by its `answer` where it
    has one (the choice with that number where it has `choices`). So the files of tasks can be used as they are; other
    keys do not matter. In a file of any other name each line is a text.

    Raises:
        ConfigurationError: the file is missing, is no UTF-8, has no text, or has a line that cannot be used.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the texts {path} cannot be read: {error}") from error
    numbered = [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    if not numbered:
        raise ConfigurationError(f"{path} has no text; write one a line")
    if path.suffix != ".jsonl":
        return [line for _, line in numbered]
    return [_text(line, f"{path}, line {number}") for number, line in numbered]


def pieces_of(texts: list[str], tokenize: TokenCache, at_most: int, length: int) -> list[Piece]:
    """The first `at_most` tokens of the texts, in pieces of at most `length` (or as many as the model has positions).

    Raises:
        ConfigurationError: the texts have no piece of two tokens.
    """
    longest = min(length, tokenize.limit or length)
    found: list[Piece] = []
    left = at_most
    for text in texts:
        ids = tokenize.prompt(text)
        share = len(text.encode()) / len(ids)
        for start in range(0, len(ids), longest):
            piece = ids[start : start + min(longest, left)]
            if len(piece) > 1:
                found.append(Piece(piece, round(share * len(piece))))
                left -= len(piece)
        if left < 2:
            break
    if not found:
        raise ConfigurationError("the texts are too short: none has two tokens, and one must follow another")
    return found


def _text(line: str, where: str) -> str:
    try:
        content = json.loads(line)
    except ValueError as error:
        raise ConfigurationError(f"{where}: not JSON ({error})") from error
    text = joined(content) if isinstance(content, dict) else None
    if not text:
        raise ConfigurationError(f"{where}: must be an object with `text`, or with `prompt` and perhaps `answer`")
    return text


def joined(content: Mapping[str, Any]) -> str | None:
    """The text of an item: its `text`, or its `prompt` and the right `answer`; None if it has neither."""
    text, prompt, answer, choices = (content.get(key) for key in ("text", "prompt", "answer", "choices"))
    if isinstance(choices, list) and isinstance(answer, int) and 0 <= answer < len(choices):
        answer = choices[answer]
    if isinstance(text, str) or not isinstance(prompt, str):
        return text if isinstance(text, str) else None
    return prompt if answer is None else f"{prompt}{answer}"
