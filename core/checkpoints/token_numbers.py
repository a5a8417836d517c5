"""Whether two checkpoints give the same tokens the same numbers, told from their files without a tokenizer."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

from ..errors import CheckpointError


def differing_token(one: Path, other: Path) -> str | None:
    """A token that two folders' tokenizers give different numbers; None if there is none, or one has no tokenizer.json.

    Tokens that only one of them has are no difference: fine-tunes often use numbers that their base leaves free.
    """
    files = [folder / "tokenizer.json" for folder in (one, other)]
    if one == other or not all(file.is_file() for file in files):
        return None
    return _differing(*files, *(file.stat().st_mtime_ns for file in files))


@lru_cache(maxsize=64)
def _differing(one: Path, other: Path, *_changed: int) -> str | None:
    if one.read_bytes() == other.read_bytes():
        return None
    left, right = _numbers(one), _numbers(other)
    return next((token for token, number in left.items() if right.get(token, number) != number), None)


def _numbers(file: Path) -> dict[str, int]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        vocabulary = content["model"]["vocab"]
        numbers = (
            {entry[0]: number for number, entry in enumerate(vocabulary)}  # Unigram
            if isinstance(vocabulary, list)
            else dict(vocabulary)
        )
        return numbers | {entry["content"]: entry["id"] for entry in content.get("added_tokens", [])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{file} is no tokenizer: {error!r}") from error
