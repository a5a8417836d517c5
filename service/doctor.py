"""`heterosis doctor`: what this machine has, and what is wrong with it."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from .console import BAD, HEAD, console, pairs, print_json
from .options import DEFAULT_STORAGE, Json, Storage


def doctor(
    network: Annotated[
        bool, typer.Option("--network", metavar="", help="Ask the model hub and the package index too.")
    ] = False,
    storage: Storage = DEFAULT_STORAGE,
    json: Json = False,
) -> None:
    """Check versions, devices, memory, disk and database.

    Nothing is measured and nothing is written. Exits with 1 if something is wrong.

    Example:

        heterosis doctor --network
    """
    from .checkup import checkup

    sections = checkup(storage, network)
    problems = [finding for section in sections.values() for finding in section if finding.wrong]
    if json:
        content = {title: {finding.name: finding.value for finding in findings} for title, findings in sections.items()}
        print_json({**content, "problems": [f"{finding.name}: {finding.value}" for finding in problems]})
    else:
        screen = console()
        for title, findings in sections.items():
            screen.print(Text(title, style=HEAD))
            screen.print(pairs((f.name, Text(f.value, style=BAD if f.wrong else "")) for f in findings))
            screen.print()
        screen.print("Nothing is wrong." if not problems else Text(f"{len(problems)} to mend, in red.", style=BAD))
    if problems:
        raise typer.Exit(1)
