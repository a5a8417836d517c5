"""Items from a JSONL file: one JSON object a line, in UTF-8; every complaint names file and line."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...core.contracts import Item
from ...core.errors import ConfigurationError
from ...core.genome import content_hash
from ...core.parsing import check_keys

Parse = Callable[[Mapping[str, Any], str], Mapping[str, Any]]
"""Turns the fields of a line into an item's data; raises ConfigurationError with the place, which it is given."""


def read_items(path: Path, fields: Sequence[str], parse: Parse, optional: Sequence[str] = ()) -> tuple[Item, ...]:
    """The items of a file, in its order; blank lines are skipped.

    A line may have an `id` (text or a whole number); without one, its id is a hash of its data.

    Args:
        path: of the file.
        fields: the keys that a line must have; besides them, `id` and `optional` no others are allowed.
        parse: makes an item's data of a line that has these fields.
        optional: keys that a line may have.

    Raises:
        ConfigurationError: the file is missing, is empty, or has a line that cannot be used.
    """
    items: list[Item] = []
    lines: dict[str, int] = {}
    for number, text in enumerate(read_utf8(path).split("\n"), start=1):
        if not text.strip():
            continue
        where = f"{path}, line {number}"
        content = _object(text, where)
        check_keys(content, ("id", *fields, *optional), where)
        for field in fields:
            if field not in content:
                raise ConfigurationError(f"{where}: `{field}` is missing")
        data = parse(content, where)
        item = Item(_id(content, data, where), data)
        if item.id in lines:
            what = f"the id {item.id!r}" if "id" in content else "the item (it has no `id` to tell it apart)"
            raise ConfigurationError(f"{where}: {what} is that of line {lines[item.id]}; ids must be distinct")
        lines[item.id] = number
        items.append(item)
    if not items:
        raise ConfigurationError(f"empty task: {path} has no items; write one JSON object a line")
    return tuple(items)


def read_utf8(path: Path) -> str:
    """The text of a file, without a byte order mark, lines ended by a line feed alone.

    Raises:
        ConfigurationError: the file is missing, unreadable, or no UTF-8 (with the line).
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"the task file {path} cannot be read: {error.strerror or error}") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{path}, line {line}: not UTF-8 ({error.reason}); save the file as UTF-8") from error
    return text.replace("\r\n", "\n")


def _object(text: str, where: str) -> dict[str, Any]:
    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        content = dict(pairs)
        if len(content) < len(pairs):
            raise ConfigurationError(f"{where}: a key is given twice: {[key for key, _ in pairs]}")
        return content

    try:
        content = json.loads(text, object_pairs_hook=distinct)
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"{where}: not JSON ({error.msg}, column {error.colno})") from error
    if not isinstance(content, dict):
        raise ConfigurationError(f"{where}: must be a JSON object, `{{...}}`, not {text.strip()[:40]!r}")
    return content


def _id(content: Mapping[str, Any], data: Mapping[str, Any], where: str) -> str:
    if "id" not in content:
        return content_hash(dict(data))[:16]
    given = content["id"]
    if isinstance(given, bool) or not isinstance(given, str | int) or given == "":
        raise ConfigurationError(f"{where}: `id` must be text or a whole number, not {given!r}")
    return str(given)
