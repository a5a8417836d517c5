"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from .secrets import url_option

DEFAULT_STORAGE = "sqlite:///heterosis.db"
STORAGE_VARIABLE = "HETEROSIS_STORAGE"
BROKER_VARIABLE = "HETEROSIS_BROKER"

Storage: TypeAlias = Annotated[
    str,
    typer.Option(
        "--storage",
        envvar=STORAGE_VARIABLE,
        metavar="URL",
        callback=url_option,
        help="Database of the studies: sqlite:///FILE, postgresql://USER@HOST/NAME, or the path of an SQLite file; "
        "@FILE reads it from a file, which it must be with a password (or from the environment).",
    ),
]
Broker: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--broker",
        envvar=BROKER_VARIABLE,
        metavar="URL",
        callback=url_option,
        show_default=False,
        help="Broker of the fleet: redis://HOST:PORT/0, or rediss:// with TLS; @FILE reads it from a file, which it "
        "must be with a password (or from the environment).",
    ),
]
Name: TypeAlias = Annotated[
    str | None,
    typer.Argument(metavar="[NAME]", show_default=False, help="The study; not needed if the database has only one."),
]
NameOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--study", metavar="NAME", help="The study; not needed if the database has only one."),
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", metavar="", help="Print JSON, for scripts.")]
Out: TypeAlias = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Folder for results  [default: named like the study]"),
]
Device: TypeAlias = Annotated[
    str,
    typer.Option(metavar="NAME", help="cpu, cuda, cuda:1...; auto takes the first CUDA device, or else the CPU."),
]
NoExport: TypeAlias = Annotated[
    bool, typer.Option("--no-export", metavar="", help="Search and report, but write no model.")
]
