"""A folder of files within a size limit: written whole, used by many processes, least recently used out first."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_PARTIAL = ".partial-"
_SLACK = 32
_ABANDONED = 3600.0
"""Seconds after which a file that is still being written has lost its writer."""


class StoreFolder:
    """Any number of processes may share it without locks: files appear by renaming and never change.

    Args:
        folder: made when something is written.
        limit: bytes for all files together. Each process may exceed it by a 32nd, because others write meanwhile; and
            no more is taken than half of what the disk has left.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.limit = limit
        self._room = 0
        self._lock = threading.Lock()

    def path(self, key: str) -> Path:
        """Where the file of a key is, if there is one."""
        return self.folder / key[:2] / key

    def touch(self, key: str) -> None:
        """Notes that it was used."""
        with suppress(OSError):
            os.utime(self.path(key))

    def remove(self, key: str) -> None:
        """Removes it, if it is there."""
        with suppress(OSError):
            self.path(key).unlink()

    def write(self, key: str, nbytes: int, write: Callable[[Path], None]) -> bool:
        """Has a file of about `nbytes` written, to a path that `write` is given; False if there is no room for it.

        Raises:
            OSError: the disk is full, or refuses.
        """
        with self._lock:
            if nbytes > self._room:
                self._look_through(nbytes)
            if nbytes > self._room:
                return False
            self._room -= nbytes
        path = self.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=_PARTIAL, dir=path.parent)
        os.close(handle)
        try:
            write(Path(name))
            os.replace(name, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(name)
            raise
        return True

    def _look_through(self, nbytes: int) -> None:
        """Removes what was used longest ago until there is room for `nbytes`, and some more."""
        self.folder.mkdir(parents=True, exist_ok=True)
        files = sorted(self._files())
        held = sum(size for _, size, _ in files)
        limit = min(self.limit, held + shutil.disk_usage(self.folder).free // 2)
        wanted = max(nbytes, limit // _SLACK)
        for _, size, path in files:
            if held + wanted <= limit:
                break
            with suppress(OSError):
                os.unlink(path)
            held -= size
        self._room = min(limit - held, wanted)

    def _files(self) -> list[tuple[float, int, str]]:
        """When each was used last, its size and path."""
        found = []
        for part in os.scandir(self.folder):
            # whatever else is put in the folder is left alone, and another process may remove what is looked at
            with suppress(OSError):
                if len(part.name) != 2 or not part.is_dir(follow_symlinks=False):
                    continue
                for entry in os.scandir(part.path):
                    with suppress(OSError):
                        status = entry.stat(follow_symlinks=False)
                        if not entry.name.startswith(_PARTIAL):
                            found.append((status.st_mtime, status.st_size, entry.path))
                        elif time.time() - status.st_mtime > _ABANDONED:
                            os.unlink(entry.path)
        return found
