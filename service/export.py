"""`heterosis export`: writes a model, of a study's candidate or of any recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.errors import ConfigurationError
from .console import console
from .fetching import open_checkpoints, telling, working
from .formats import engine_line, size
from .opening import loaded
from .options import DEFAULT_STORAGE, NameOption, Storage
from .outputs import in_use

if TYPE_CHECKING:
    from ..core.quantization.projection import Replacement


def export(
    target: Annotated[
        list[str],
        typer.Argument(
            metavar="[NUMBER] DIR", show_default=False, help="A candidate's number (default: the winner); the folder."
        ),
    ],
    format: Annotated[  # noqa: A002
        str | None,
        typer.Option(
            metavar="NAME",
            show_default=False,
            help="An exporter plugin (default: the target that levels were searched for, or safetensors).",
        ),
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Build this recipe (YAML, ours or mergekit's) without a study.")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Reload a quantised model, compare it and measure it.")
    ] = True,
    study: NameOption = None,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Write a model, of a candidate or of a recipe.

    The folder loads in transformers, vLLM and others. Paths in a recipe start at the recipe's folder. Levels that the
    format cannot hold are replaced by the nearest ones that it can.

    Examples:

        heterosis export winner/
        heterosis export 17 candidate-17/
        heterosis export 17 candidate-17-gguf/ --format gguf
        heterosis export --recipe recipe.yaml merged/
    """
    number, folder = _parsed(target)
    if in_use(folder):
        raise ConfigurationError(f"{folder} exists and is not empty; choose another folder or remove it")
    if recipe is not None:
        if number is not None:
            raise ConfigurationError("a recipe has no candidate number: heterosis export --recipe FILE DIR")
        figures = _export_recipe(recipe, folder, format, verify)
    else:
        figures = _export_candidate(storage, study, number, folder, format, verify)
    written = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    console().print(f"{folder}: {size(written)}", soft_wrap=True)
    if figures:
        console().print(f"Reloaded, and it is the model that was measured: {engine_line(figures)}", soft_wrap=True)


def _parsed(target: list[str]) -> tuple[int | None, Path]:
    if len(target) == 1:
        return None, Path(target[0])
    if len(target) == 2 and target[0].isdecimal():
        return int(target[0]), Path(target[1])
    raise ConfigurationError(f"give a folder, or a candidate's number and a folder, not {' '.join(target)!r}")


def _export_candidate(
    storage: str,
    name: str | None,
    number: int | None,
    folder: Path,
    wanted: str | None,
    verify: bool,
) -> Mapping[str, Any]:
    from ..core import registry
    from ..core.quantization.projection import exporter_for

    if wanted is not None:
        registry.load("exporters", wanted)
    with loaded(storage, name) as study:
        candidate = study.best() if number is None else study.candidate(number)
        kind = wanted or exporter_for(candidate.recipe)
        open_checkpoints(study.spec.space, console())
        _tell_replaced(candidate.export_plan(kind)[1], kind)
        with working(console(), f"Writing {candidate.name} of {study.spec.name} to {folder}"):
            candidate.export(folder, kind, verify)
        noted = [figures for figures in candidate.exports if figures["path"] == str(folder.resolve())]
        return noted[-1] if verify and noted else {}


def _export_recipe(file: Path, folder: Path, wanted: str | None, verify: bool) -> Mapping[str, Any]:
    from ..core import registry
    from ..core.checkpoints import SourceSet
    from ..core.checkpoints.statistics import include_statistics
    from ..core.quantization.projection import exporter_for, plan_for
    from ..core.recipe import Recipe
    from ..core.statistics import all_needs
    from ..fitness.verification import write_export

    recipe = Recipe.from_yaml(_text(file), str(file))
    kind = wanted or exporter_for(recipe)
    exporter = registry.load("exporters", kind)()
    with telling(console()) as tell:
        sources = SourceSet(recipe.base_model, recipe.references, file.resolve().parent, tell)
        include_statistics(sources, all_needs(recipe), file.resolve().parent, tell)
    planned, replaced = plan_for(recipe, sources, kind)
    _tell_replaced(replaced, kind)
    if planned.vocabulary is not None:
        console().print(f"{planned.vocabulary.size} rows for {len(planned.vocabulary.tokens)} tokens, made from")
        for change in planned.vocabulary.changes:
            console().print(f"  {change}", markup=False, soft_wrap=True)
    with working(console(), f"Writing {file.name} to {folder}"):
        figures = write_export(exporter, planned, folder, verify)
    return {} if figures is None else figures.to_dict()


def _tell_replaced(replaced: Sequence[Replacement], kind: str) -> None:
    if replaced:
        text = f"{kind} cannot hold all of its levels; written instead: {', '.join(map(str, replaced))}"
        console().print(text, markup=False, soft_wrap=True)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} cannot be read: {error}") from error
