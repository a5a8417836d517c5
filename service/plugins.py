"""`heterosis plugins`: what is installed, where it comes from, and what is broken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from ..core.errors import PluginError, did_you_mean
from .console import BAD, GOOD, HEAD, QUIET, console, print_json, table
from .options import Json

if TYPE_CHECKING:
    from ..core.registry import Plugin


def plugins(
    kind: Annotated[str | None, typer.Argument(show_default=False, help="Only this kind, for example tasks.")] = None,
    check: Annotated[bool, typer.Option("--check", metavar="", help="Exit with 1 if a plugin is broken.")] = False,
    json: Json = False,
) -> None:
    """List the installed plugins.

    Built-in ones and those of other packages. A plugin that cannot be imported is listed with the reason; it does no
    harm to the others.

    Example:

        heterosis plugins merge_methods
    """
    from ..core.registry import CONTRACTS, installed

    if kind is not None and kind not in CONTRACTS:
        raise PluginError(f"there is no plugin kind {kind!r}. {did_you_mean(kind, CONTRACTS)}")
    found = [plugin for plugin in installed() if kind in (None, plugin.kind)]
    if json:
        print_json([vars(plugin) for plugin in found])
    else:
        _show(found, console())
    if check and any(plugin.error for plugin in found):
        raise typer.Exit(1)


def _show(found: list[Plugin], screen: Console) -> None:
    widths = [max((len(text) for text in column), default=0) for column in _columns(found)]
    for place, kind in enumerate(dict.fromkeys(plugin.kind for plugin in found)):
        if place:
            screen.print()
        screen.print(Text(kind, style=HEAD))
        made = table("", "", "", "")
        made.show_header = False
        for column, width in zip(made.columns, widths, strict=False):
            column.min_width = width
        for plugin in (plugin for plugin in found if plugin.kind == kind):
            state = Text("broken", style=BAD) if plugin.error else Text("ready", style=GOOD)
            made.add_row(plugin.name, plugin.origin, state, Text(_where(plugin), style=QUIET))
        screen.print(made)
        for plugin in found:
            if plugin.kind == kind and plugin.error:
                screen.print(Text(f"{plugin.name}: {plugin.error}", style=BAD))


def _columns(found: list[Plugin]) -> tuple[list[str], ...]:
    return [plugin.name for plugin in found], [plugin.origin for plugin in found], ["broken"]


def _where(plugin: Plugin) -> str:
    """Module and class; a built-in's without the package that all of them share."""
    return plugin.target.removeprefix("heterosis.") if plugin.origin.startswith("heterosis ") else plugin.target
