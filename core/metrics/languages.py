"""In which language an answer is written, told by py3langid (extra `language`)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch

from ..errors import ConfigurationError, PluginError, did_you_mean


def in_language(texts: Sequence[str], language: str, among: Sequence[str] = ()) -> torch.Tensor:
    """Whether each text is in the language, by its bytes' n-grams (langid.py: Lui and Baldwin, 2012).

    A word or two are often taken for a neighbouring language; naming those that may occur helps much.

    Args:
        texts: any.
        language: ISO 639 code, such as `it`.
        among: the languages to choose from, at least one besides `language`; by default all that the library knows.

    Returns:
        bool [batch], on the CPU.

    Raises:
        PluginError: the extra `language` is not installed.
        ConfigurationError: the library does not know a language, or there is no other to choose from.
    """
    choose_from = tuple(sorted({language, *among})) if among else ()
    if len(choose_from) == 1:
        raise ConfigurationError(f"every text would be in {language!r}; name another language that it may be in")
    identifier = _identifier(choose_from)
    if language not in identifier.labels:
        raise _unknown(language, identifier.labels)
    return torch.tensor([identifier.classify(text)[0] == language for text in texts], dtype=torch.bool)


@lru_cache(maxsize=8)
def _identifier(among: tuple[str, ...]) -> Any:
    try:
        # the model takes a quarter of a second to load, and not everybody asks for a language
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError as error:
        raise PluginError(
            "telling the language of an answer needs py3langid; install it with: pip install 'heterosis[language]'"
        ) from error
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    for language in among:
        if language not in identifier.labels:
            raise _unknown(language, identifier.labels)
    if among:
        identifier.set_languages(list(among))
    return identifier


def _unknown(language: str, known: Sequence[str]) -> ConfigurationError:
    return ConfigurationError(f"unknown language {language!r}. {did_you_mean(language, known)}")
