"""Reading values that a person wrote, with errors that say where and what was expected."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .errors import ConfigurationError, did_you_mean


def check_keys(content: Mapping[str, Any], valid: Iterable[str], where: str) -> None:
    """Raises ConfigurationError for the first key that is not valid, with the nearest one that is."""
    names = list(valid)
    for key in content:
        if key not in names:
            raise ConfigurationError(f"{where}: unknown key {key!r}. {did_you_mean(str(key), names)}")


def mapping_of(content: Any, where: str) -> Mapping[str, Any]:
    """The content, if it is a mapping with text keys; else raises ConfigurationError."""
    if not isinstance(content, Mapping) or not all(isinstance(key, str) for key in content):
        raise ConfigurationError(f"{where} must be a mapping (`key: value` lines), not {content!r}")
    return content


def text_of(content: Any, where: str) -> str:
    """The content, if it is text; else raises ConfigurationError."""
    if not isinstance(content, str):
        raise ConfigurationError(f"{where} must be text, not {content!r}")
    return content


def texts_of(content: Any, where: str) -> list[str]:
    """The content, if it is text or a list of texts, as a list; else raises ConfigurationError."""
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list) or not all(isinstance(entry, str) for entry in content):
        raise ConfigurationError(f"{where} must be text or a list of texts, not {content!r}")
    return content


def share_of(content: Any, where: str) -> float:
    """The content, if it is a number from 0 to 1; else raises ConfigurationError."""
    if not isinstance(content, int | float) or isinstance(content, bool) or not 0 <= content <= 1:
        raise ConfigurationError(f"{where} must be a number from 0 to 1, not {content!r}")
    return float(content)


def whole_number_of(content: Any, where: str, at_least: int) -> int:
    """The content, if it is a whole number of at least `at_least`; else raises ConfigurationError."""
    if not isinstance(content, int) or isinstance(content, bool) or content < at_least:
        raise ConfigurationError(f"{where} must be a whole number of at least {at_least}, not {content!r}")
    return content
