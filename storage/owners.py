"""Who holds a lease: a name for this process that others can check on."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path


def this_process() -> str:
    """`host:machine:pid:start`: unique over reboots, containers and re-used process ids."""
    return process_name(os.getpid())


def process_name(pid: int) -> str:
    """The same for another process of this machine, which must be running."""
    return f"{platform.node()}:{_machine()}:{pid}:{_start_time(pid)}"


def is_dead(owner: str) -> bool:
    """Whether `owner` is known to have ended; False wherever that cannot be seen from here (another host)."""
    parts = owner.rsplit(":", 3)
    if len(parts) != 4 or parts[:2] != [platform.node(), _machine()] or not parts[2].isdigit():
        return False
    pid, started = int(parts[2]), parts[3]
    if sys.platform == "win32":  # signal 0 would be a Ctrl-C there
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return _start_time(pid) != started


@cache
def _machine() -> str:
    """The boot and, in a container, the process namespace: within it a process id means one process."""
    marks = [_text(Path("/proc/sys/kernel/random/boot_id"))]
    with suppress(OSError):
        marks.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256("".join(marks).encode()).hexdigest()[:12]


def _start_time(pid: int) -> str:
    """In clock ticks since boot; `ended` for a process that nobody has collected yet; `0` where it cannot be known."""
    after_name = _text(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    if not after_name:
        return "0"
    return "ended" if after_name[0] in "ZX" else after_name[19]


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
