"""Secrets are blotted out of whatever is shown, logged or sent: passwords in URLs, access tokens, known words."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

_BLOT = "***"
_PATTERN = re.compile(
    r"(?P<url>://[^:/@\s]*:)\S+(?=@)"  # ://user:password@
    r"|(?P<named>(?:password|passwd)(?:[\"']?\s*=|[\"']\s*:)\s*[\"']?)[^&\s\"',;]+"
    r"|(?P<query>[?&](?:access_?)?(?:token|key|secret|signature)=)[^&\s\"']+"
    r"|(?P<bearer>\bbearer\s+)[^\s\"',;]+"
    r"|\bhf_[a-zA-Z0-9]{16,}",
    re.IGNORECASE,
)
_IN_URL = re.compile(r"://[^:/@\s]*:(\S+)@")
_URL_VARIABLES = ("HETEROSIS_STORAGE", "HETEROSIS_BROKER", "CELERY_BROKER_URL")
_SECRET_VARIABLES = ("HF_TOKEN", "PGPASSWORD", "HETEROSIS_TOKEN")
_SHORTEST = 4
"""Shorter words are left alone where they stand by themselves: too much else would be blotted out."""


def without_secrets(text: str, environment: bool = True) -> str:
    """The text with the passwords of URLs, tokens, and the secrets of this process's environment blotted out.

    Args:
        environment: whether its secrets are, wherever they stand; what looks like a secret is in any case.

    >>> without_secrets("postgresql://me:hunter2@host/studies?sslpassword=swordfish")
    'postgresql://me:***@host/studies?sslpassword=***'
    """
    for word in sorted(_known(), key=len, reverse=True) if environment else ():
        text = text.replace(word, _BLOT)
    return _PATTERN.sub(lambda found: (found[found.lastgroup] if found.lastgroup else "") + _BLOT, text)


def redacted(value: Any) -> Any:
    """A JSON-like value with every string in it without secrets."""
    if isinstance(value, str):
        return without_secrets(value)
    if isinstance(value, Mapping):
        return {redacted(key): redacted(content) for key, content in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(content) for content in value]
    return value


def _known() -> set[str]:
    """The environment's secrets themselves: a driver may name a password outside its URL."""
    words = {os.environ.get(name, "") for name in _SECRET_VARIABLES}
    for name in _URL_VARIABLES:
        for password in _IN_URL.findall(os.environ.get(name, "")):
            words |= {password, unquote(password)}
    return {word for word in words if len(word) >= _SHORTEST}
