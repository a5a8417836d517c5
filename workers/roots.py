"""Which local files a study may name on this machine, and where its folder is here."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ..core.checkpoints.references import parts_of
from ..core.errors import ConfigurationError
from ..core.study_spec import StudySpec

ROOTS_VARIABLE = "HETEROSIS_ROOTS"


def configured_roots(given: Sequence[str | Path] = ()) -> tuple[Path, ...]:
    """The folders that what a study names must lie in; none: anywhere.

    Args:
        given: from the command line; if there are none, those of the environment variable HETEROSIS_ROOTS, separated
            as in PATH.

    Raises:
        ConfigurationError: one is no folder.
    """
    named = list(given) or [part for part in os.environ.get(ROOTS_VARIABLE, "").split(os.pathsep) if part]
    roots = []
    for name in named:
        path = Path(name).expanduser()
        if not path.is_dir():
            raise ConfigurationError(f"the root {str(name)!r} is no folder on this machine; name one that is")
        roots.append(path.resolve())
    return tuple(roots)


def check_confined(spec: StudySpec, roots: Sequence[Path]) -> None:
    """Whether all local files that a study names lie in the roots, links followed; anywhere if there are no roots.

    What a provider fetches lies in the cache and is not asked about.

    Raises:
        ConfigurationError: something lies elsewhere; the message names it, and what to do.
    """
    within = [Path(root).resolve() for root in roots]
    for what, path in _named(spec) if within else ():
        for real in _real(path):
            if not any(real.is_relative_to(root) for root in within):
                there = "" if real == path else f", which is {real}"
                raise ConfigurationError(
                    f"{what} {path}{there}, is outside the folders that this worker may read "
                    f"({', '.join(map(str, within))}): put it there, or start the worker with another --root "
                    f"(or {ROOTS_VARIABLE})"
                )


def resolve_folder(recorded: str, folders: Mapping[str, str]) -> Path:
    """Where a study's folder is on this machine.

    Args:
        recorded: where it was on the machine that the study was set up on.
        folders: for what begins so there, what it begins with here; the longest that fits counts.

    Raises:
        ConfigurationError: there is no such folder here.
    """
    fitting = [there for there in folders if Path(recorded).is_relative_to(there)]
    folder = Path(recorded)
    if fitting:
        longest = max(fitting, key=len)
        folder = Path(folders[longest]).expanduser() / folder.relative_to(longest)
    if not folder.is_dir():
        raise ConfigurationError(
            f"the study's folder {folder} is not on this machine: share it, or copy it and start the worker with "
            f"--folder {recorded}=WHERE_IT_IS_HERE"
        )
    return folder.resolve()


def folder_mapping(given: Sequence[str]) -> dict[str, str]:
    """What `--folder THERE=HERE` says, given any number of times. Raises ConfigurationError if one is malformed."""
    found = {}
    for text in given:
        there, equals, here = text.partition("=")
        if not (there and equals and here):
            raise ConfigurationError(f"--folder {text!r} is not of the form THERE=HERE")
        found[there] = here
    return found


def _named(spec: StudySpec) -> Iterator[tuple[str, Path]]:
    """What it is, and where it is said to be."""
    space = spec.space
    start = space.relative_to or Path()
    for reference in (space.base, *space.labelled.values()):
        for part in parts_of(reference, space.relative_to):
            if part.scheme is None:
                yield "the checkpoint", part.path
    for need in space.needs:
        yield "the statistics file", start / Path(need.file).expanduser()
    for name, task in spec.tasks.items():
        for file in [task.file] if task.file else list(task.files.values()) or [""]:
            yield f"the file of the task {name!r},", spec.folder / file


def _real(path: Path) -> Iterator[Path]:
    """Where a file or a folder, and each thing in the folder, really is."""
    yield path.resolve()
    if path.is_dir():
        yield from (entry.resolve() for entry in path.iterdir())
