"""The chat template of the model to be built: that of most of its checkpoints, a known one, or one that is given."""

from __future__ import annotations

import json
from collections import Counter
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from .checkpoints import Checkpoint
from .checkpoints.base import read_json
from .errors import ConfigurationError

FILE = "chat_template.jinja"
_CONFIG = "tokenizer_config.json"
_CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def chat_template(wanted: str, checkpoints: list[Checkpoint]) -> str | None:
    """The template that a recipe's `chat_template` stands for.

    Args:
        wanted: `auto`, a name (`chatml`, or one that an installed mergekit brings), or the template itself.
        checkpoints: those that are merged.

    Returns:
        None if `auto` finds no checkpoint with a template.

    Raises:
        ConfigurationError: it is neither a known name nor a template.
    """
    if wanted == "auto":
        found = Counter(text for checkpoint in checkpoints if (text := template_of(checkpoint.directory)))
        return found.most_common(1)[0][0] if found else None
    if "{" in wanted:
        return wanted
    if wanted == "chatml":
        return _CHATML
    # The texts are mergekit's own, so that they are read where it is installed rather than kept here.
    package = "mergekit._data.chat_templates"
    if wanted.isidentifier() and find_spec("mergekit") is not None:
        named = files(package).joinpath(f"{wanted}.jinja")
        if named.is_file():
            return named.read_text(encoding="utf-8")
    raise ConfigurationError(
        f"`chat_template`: {wanted!r} is no template (Jinja, with braces) and no known name; `auto` and `chatml` are "
        "known, and what an installed mergekit brings (alpaca, exaone, llama3, mistral)"
    )


def template_of(directory: Path) -> str | None:
    """The (default) chat template in a checkpoint's folder, if it has one."""
    if (directory / FILE).is_file():
        return (directory / FILE).read_text(encoding="utf-8").strip()
    if not (directory / _CONFIG).is_file():
        return None
    stored = read_json(directory / _CONFIG).get("chat_template")
    if isinstance(stored, list):
        stored = {entry["name"]: entry["template"] for entry in stored}
    if isinstance(stored, dict):
        stored = stored.get("default")
    return stored.strip() if isinstance(stored, str) else None


def write_template(text: str, directory: Path) -> None:
    """Makes a template the only one of a folder that holds a tokenizer."""
    (directory / FILE).write_text(text, encoding="utf-8")
    if (directory / _CONFIG).is_file():
        content = read_json(directory / _CONFIG)
        content.pop("chat_template", None)
        (directory / _CONFIG).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
