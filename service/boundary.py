"""The edge of the program: errors become one clear message, signals an orderly end, bugs a traceback."""

from __future__ import annotations

import errno
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from ..core.errors import HeterosisError
from ..core.redaction import without_secrets
from .console import BAD, console
from .signals import Interrupted, orderly_end


class Commands(TyperGroup):
    """The command line as a whole: every command runs inside the boundary."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Takes `--debug` wherever it stands: people add it to the end of the line that failed."""
        rest = [arg for arg in args if arg != "--debug"]
        return super().parse_args(ctx, ["--debug", *rest] if len(rest) < len(args) else rest)

    def invoke(self, ctx: Any) -> Any:
        """Runs the command; the exit code is 1 for errors, 128 and the signal's number for interruptions."""
        with _boundary(bool(ctx.params.get("debug"))):
            return super().invoke(ctx)


@contextmanager
def _boundary(debug: bool) -> Iterator[None]:
    try:
        with orderly_end():
            yield
    except KeyboardInterrupt as interruption:
        _say("\n".join(getattr(interruption, "__notes__", ["Interrupted."])))
        _leave(128 + (interruption.number if isinstance(interruption, Interrupted) else signal.SIGINT))
    except HeterosisError as error:
        if debug:
            _say(traceback.format_exc())
        else:
            _say("\n".join([f"Error: {error}", *getattr(error, "__notes__", ())]), emphasis="Error:")
        _leave(1)
    except Exception as error:
        if _is_expected(error):
            raise
        _say(f"{traceback.format_exc()}\nThis is a bug in Heterosis or in a plugin; the lines above say where.")
        _leave(1)


def _is_expected(error: Exception) -> bool:
    """Whether it is Typer's own way to end, or a reader of our output who has seen enough."""
    broken_pipe = isinstance(error, OSError) and error.errno == errno.EPIPE
    return isinstance(error, typer.Exit | typer.Abort) or hasattr(error, "exit_code") or broken_pipe


def _leave(code: int) -> NoReturn:
    with suppress(OSError):
        sys.stdout.flush()
    raise typer.Exit(code)


def _say(text: str, emphasis: str = "") -> None:
    from rich.text import Text

    shown = Text(without_secrets(text))
    if emphasis:
        shown.highlight_words([emphasis], BAD)
    with suppress(OSError):  # the terminal may be gone
        console(stderr=True).print(shown, soft_wrap=not sys.stderr.isatty())
