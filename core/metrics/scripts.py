"""In which script an answer is written."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import regex
import torch

from ..errors import ConfigurationError
from .sequences import Sequences

_LETTERS = r"[\p{L}--[\p{scx=Common}\p{scx=Inherited}]]"


def script_share(characters: Sequences, scripts: Sequence[str]) -> torch.Tensor:
    """The share of the letters that belong to one of the scripts.

    Digits, punctuation and symbols belong to all scripts and are not counted. A letter that several scripts use (as
    the Japanese length mark) belongs to each of them.

    Args:
        characters: Unicode code points, [batch].
        scripts: Unicode's names of scripts: `Latin`, `Cyrillic`, `Han`, ... Japanese needs `Han`, `Hiragana` and
            `Katakana`.

    Returns:
        float64 [batch] in [0, 1]; NaN where there is no letter.

    Raises:
        ConfigurationError: there is no script, or Unicode has none of that name.
    """
    if not scripts:
        raise ConfigurationError("no script is named; name one, such as Latin")
    inside = torch.stack([_table(_checked(script)) for script in scripts]).any(0)
    letters = _table(_LETTERS)
    return _count(characters, inside & letters) / _count(characters, letters).double()


def has_letters(characters: Sequences) -> torch.Tensor:
    """Whether there is a letter of any script: bool [batch]."""
    return _count(characters, _table(_LETTERS)) > 0


def _count(characters: Sequences, members: torch.Tensor) -> torch.Tensor:
    found = members.to(characters.ids.device)[characters.ids.long()]
    return (found & characters.valid()).sum(-1)


def _checked(script: str) -> str:
    pattern = rf"\p{{scx={script}}}"
    try:
        if not script.replace("_", "").isalpha():
            raise regex.error(script)
        regex.compile(pattern)
    except regex.error as error:
        raise ConfigurationError(
            f"unknown script {script!r}; use Unicode's name, such as Latin, Cyrillic, Arabic or Han"
        ) from error
    return pattern


@lru_cache(maxsize=64)
def _table(pattern: str) -> torch.Tensor:
    """Which code points match: bool [0x110000], on the CPU."""
    table = torch.zeros(0x110000, dtype=torch.bool)
    everything = "".join(map(chr, range(0x110000)))
    table[[ord(character) for character in regex.findall(pattern, everything, regex.V1)]] = True
    return table
