"""`heterosis check`: what a study would do and need, without doing it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Device, Json, NoExport, Out


def check(
    file: Annotated[Path, typer.Argument(metavar="STUDY.yaml", show_default=False, help="The study file.")],
    out: Out = None,
    device: Device = "auto",
    no_export: NoExport = False,
    json: Json = False,
) -> None:
    """Check a study file, and say how much memory, disk and time the study will need.

    Fetches and opens the checkpoints, counts the items' tokens and measures a few merges; nothing is recorded. The
    exit code is 1 if something cannot be used, or if memory or disk will not suffice.

    Example:

        heterosis check study.yaml
    """
    from ..core.study_spec import StudySpec
    from . import foresight, overview
    from .console import console, print_json
    from .device import chosen_device
    from .fetching import open_checkpoints
    from .outputs import Outputs
    from .preflight import check as check_spec

    spec = StudySpec.from_file(file)
    screen = console(stderr=json)
    outputs = Outputs.of(spec.name, out, not no_export)
    outputs.check()
    device = chosen_device(device)
    evaluator = check_spec(spec, device, lambda: open_checkpoints(spec.space, screen))
    found = foresight.foresee(evaluator, outputs, screen)
    if json:
        print_json({"study": spec.name, "device": device, **found.to_dict()})
    else:
        for line in (*overview.lines(spec, evaluator.items, device, spec.candidates), *foresight.lines(found)):
            screen.print(line)
    if found.shortages:
        raise typer.Exit(1)
