"""A file from the web into a local file: resumed where it broke off, checked, and whole or not there."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import httpx

from ...core.contracts.provider import Progress
from ...core.errors import CheckpointError

_TIMEOUT_SECONDS = 30.0


def download(url: str, sha256: str, target: Path, progress: Progress) -> None:
    """Fetches `url` into `target`; what an earlier try left in `target`.part is kept and completed.

    Args:
        sha256: of the whole file, 64 hexadecimal digits.

    Raises:
        CheckpointError: it cannot be fetched, or its hash is another (then what was fetched is removed).
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    try:
        _fetch(url, part, progress)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise CheckpointError(f"{_shown(url)} cannot be fetched ({reason(error)}); run it again to go on") from error
    except OSError as error:
        raise CheckpointError(f"{part} cannot be written: {error.strerror}") from error
    with part.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        part.unlink()
        raise CheckpointError(f"{_shown(url)} has the SHA-256 {found}, expected was {sha256}; it was removed")
    os.replace(part, target)


def _fetch(url: str, part: Path, progress: Progress) -> None:
    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}  # or bytes do not count
    with httpx.stream("GET", url, headers=headers, follow_redirects=True, timeout=_TIMEOUT_SECONDS) as response:
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # it was whole already
        response.raise_for_status()
        if response.status_code != httpx.codes.PARTIAL_CONTENT:
            have = 0
        whole = have + int(response.headers.get("Content-Length", 0))
        with part.open("ab" if have else "wb") as file:
            for chunk in response.iter_bytes():  # as they come: a slow line that breaks off often gets on, too
                file.write(chunk)
                have += len(chunk)
                progress(f"fetching {part.name.removesuffix('.part')}", have, whole)


def reason(error: httpx.HTTPError | httpx.InvalidURL) -> str:
    """What went wrong, without the address: it may hold a password."""
    if isinstance(error, httpx.HTTPStatusError):
        return f"HTTP status {error.response.status_code} {error.response.reason_phrase}".rstrip()
    return str(error) or type(error).__name__


def _shown(url: str) -> str:
    return str(httpx.URL(url).copy_with(userinfo=b""))
