"""URLs with passwords: they come from the environment or from a file, never from arguments, and are never shown."""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path

import typer

from ..core.errors import ConfigurationError
from ..core.redaction import without_secrets

_FILE = "@"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Url(str):
    """A URL, and how it was given.

    Attributes:
        typed: what to type to give it again; empty if it came from the environment or by default.
    """

    typed: str

    def __new__(cls, text: str, typed: str) -> Url:
        """The URL `text`."""
        made = super().__new__(cls, text)
        made.typed = typed
        return made


def url_option(context: typer.Context, parameter: typer.CallbackParam, value: str | None) -> Url | None:
    """The callback of every option that is a URL; `@FILE` stands for the first line of a file.

    Raises:
        ConfigurationError: it was given as an argument and has a password, or its file cannot be used.
    """
    if value is None:
        return None
    source = context.get_parameter_source(str(parameter.name))
    is_argument = source is not None and source.name == "COMMANDLINE"
    option = parameter.opts[0]
    if value.startswith(_FILE):
        return Url(_first_line(Path(value.removeprefix(_FILE)), option), value if is_argument else "")
    if is_argument and without_secrets(value, environment=False) != value:
        raise ConfigurationError(
            f"the URL after {option} has a password, and everyone on this machine can read the arguments of processes: "
            f"put it into the environment variable {parameter.envvar}, or into a file that only you can read, and say "
            f"{option} {_FILE}FILE"
        )
    return Url(value, value if is_argument else "")


def _first_line(path: Path, option: str) -> str:
    try:
        with path.expanduser().open(encoding="utf-8-sig") as file:
            mode = os.fstat(file.fileno()).st_mode
            line = file.readline().strip()
    except OSError as error:
        raise ConfigurationError(f"{option} {_FILE}{path}: the file cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigurationError(f"{option} {_FILE}{path}: the file is no text in UTF-8") from None
    if os.name == "posix" and mode & _OTHERS:
        raise ConfigurationError(
            f"{option} {_FILE}{path}: others can read or write the file, and it may hold a password; type\n"
            f"  chmod 600 {shlex.quote(str(path))}"
        )
    if not line:
        raise ConfigurationError(f"{option} {_FILE}{path}: the first line of the file is empty; it must be the URL")
    return line
