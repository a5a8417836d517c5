"""The folder that a search leaves its results in: the merged model and the figures."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import ConfigurationError

if TYPE_CHECKING:
    from ..search.candidate import Candidate
    from ..search.study import Study


@dataclass(frozen=True)
class Outputs:
    """Where results go.

    Attributes:
        export: whether the winner's model is written.
    """

    folder: Path
    export: bool = True

    @classmethod
    def of(cls, name: str, out: Path | None, export: bool) -> Outputs:
        """The folder `out`, or one named like the study in the current folder."""
        return cls(out if out is not None else Path(re.sub(r"[^\w.-]+", "-", name).strip(".") or "study"), export)

    @property
    def merged(self) -> Path:
        """Folder of the winner's model."""
        return self.folder / "merged"

    @property
    def front(self) -> Path:
        """Figure of the front."""
        return self.folder / "front.png"

    @property
    def history(self) -> Path:
        """Figure of the search over its candidates."""
        return self.folder / "history.png"

    def options(self, name: str) -> list[str]:
        """What to type so that a study called `name` goes on with this folder."""
        folder = [] if self.folder == Outputs.of(name, None, True).folder else ["--out", str(self.folder)]
        return [*folder, *([] if self.export else ["--no-export"])]

    def check(self) -> None:
        """Refuses before the search what would fail after it.

        Raises:
            ConfigurationError: the model's folder is in use, or the folder is a file.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise ConfigurationError(f"{self.folder} is a file; choose another folder with --out DIR")
        if self.export and in_use(self.merged):
            raise ConfigurationError(
                f"{self.merged} is not empty, and would be written after the search: choose another folder with "
                "--out DIR, remove it, or say --no-export"
            )

    def holds(self, study: Study, candidate: Candidate) -> bool:
        """Whether the model's folder holds this candidate, as the database notes it."""
        written = study.store.artifacts.of(candidate.record.id)
        folder = self.merged.resolve()
        return any(Path(artifact.path).parent == folder and Path(artifact.path).exists() for artifact in written)


def in_use(folder: Path) -> bool:
    """Whether nothing may be written to a folder of this name."""
    return folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
