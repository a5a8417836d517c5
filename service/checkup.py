"""What there is on this machine, gathered without measuring or writing anything."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ..core.errors import HeterosisError
from .formats import size

PACKAGES = ("heterosis", "torch", "transformers", "safetensors", "pymoo", "optuna", "cmaes", "numpy", "sqlalchemy")
LITTLE_DISK = 5e9
_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True)
class Finding:
    """Something that was found, and whether it is wrong."""

    name: str
    value: str
    wrong: bool = False


def checkup(storage: str, network: bool) -> Mapping[str, list[Finding]]:
    """All findings, by section."""
    sections: dict[str, list[Finding]] = {
        "software": [Finding("python", f"{platform.python_version()}, {sys.executable}"), *map(_package, PACKAGES)],
        "machine": [Finding("system", platform.platform()), *_processors(), _memory(), *_accelerators()],
        "storage": [_database(storage), *_cache(), _disk("current folder", Path.cwd())],
        "plugins": _plugins(),
    }
    if network:
        sections["network"] = _network()
    return sections


def _package(name: str) -> Finding:
    try:
        return Finding(name, version(name))
    except PackageNotFoundError:
        return Finding(name, f"not installed: pip install {name}", wrong=True)


def _processors() -> list[Finding]:
    import torch

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    capability = torch.backends.cpu.get_cpu_capability()
    return [
        Finding("processors", f"{usable} of {os.cpu_count()} usable, {platform.machine()}, {capability}"),
        Finding("threads", f"{torch.get_num_threads()} for torch"),
    ]


def _memory() -> Finding:
    from ..core.preflight import available_memory

    available = available_memory()
    try:
        whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        available = None
    if available is None:  # not every system tells
        return Finding("memory", "unknown")
    return Finding("memory", f"{size(whole)}, {size(available)} available")


def _accelerators() -> list[Finding]:
    import torch

    if torch.backends.mps.is_available():
        return [Finding("mps", "Apple GPU; float32, float16, bfloat16")]
    if not torch.cuda.is_available():
        return [Finding("cuda", "none; searches run on the CPU (float32, bfloat16)")]
    found = []
    for place in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(place)
        free, whole = torch.cuda.mem_get_info(place)
        dtypes = "float32, float16" + (", bfloat16" if properties.major >= 8 else "")
        what = f"{properties.name}, {size(whole)}, {size(free)} free, compute {properties.major}.{properties.minor}"
        found.append(Finding(f"cuda:{place}", f"{what}; {dtypes}"))
    return found


def _database(storage: str) -> Finding:
    from .opening import missing_file, opened

    try:
        file = missing_file(storage)
        if file is not None:
            return Finding("database", f"{file} is not there yet; `heterosis run` makes it")
        with opened(storage) as store:
            count = len(store.studies.all())
            return Finding("database", f"{store.database.where}: {count} {'study' if count == 1 else 'studies'}")
    except HeterosisError as error:
        return Finding("database", str(error), wrong=True)


def _cache() -> list[Finding]:
    from ..core.checkpoints.open import cache_folder

    folder = cache_folder()
    taken = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    nearest = next(place for place in (folder, *folder.parents) if place.exists())
    writable = os.access(nearest, os.W_OK)
    what = f"{folder}, {size(taken)}" + ("" if writable else ": may not be written; set HETEROSIS_CACHE")
    return [Finding("cache", what, wrong=not writable), _disk("disk of the cache", nearest)]


def _disk(name: str, folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    little = free < LITTLE_DISK
    return Finding(name, f"{size(free)} free" + (": little for checkpoints and models" if little else ""), little)


def _plugins() -> list[Finding]:
    from ..core.registry import CONTRACTS, installed

    found = installed()
    findings = []
    for kind in CONTRACTS:
        names = [plugin.name for plugin in found if plugin.kind == kind and not plugin.error]
        findings.append(Finding(kind, ", ".join(names) or "none"))
    broken = [plugin for plugin in found if plugin.error]
    return findings + [Finding(f"broken: {plugin.name}", str(plugin.error), wrong=True) for plugin in broken]


def _network() -> list[Finding]:
    from huggingface_hub import constants

    return [_reach("model hub", constants.ENDPOINT), _reach("package index", "https://pypi.org")]


def _reach(name: str, url: str) -> Finding:
    import httpx

    try:
        status = httpx.head(url, timeout=_TIMEOUT_SECONDS, follow_redirects=True).status_code
    except httpx.HTTPError as error:
        return Finding(name, f"{url} does not answer ({type(error).__name__}: {error})", wrong=True)
    return Finding(name, f"{url} answers" + ("" if status < 400 else f", with status {status}"), wrong=status >= 400)
