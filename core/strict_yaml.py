"""YAML as people mean it: safe tags only, no key twice, no bombs; errors name the line."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from .errors import ConfigurationError

MAX_CHARACTERS = 1_000_000
MAX_ALIASES = 100
MAX_DEPTH = 50
MAX_VALUES = 100_000
_MERGE_KEY = "tag:yaml.org,2002:merge"


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses repeated keys, many or nested aliases, merge keys and deep nesting."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._aliases = 0
        self._depth = 0
        self._values = 0
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        before = self._values
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ConfigurationError(f"YAML nested deeper than {MAX_DEPTH} levels")
        node = super().compose_node(parent, index)
        self._depth -= 1
        self._values += self._size_behind(event, node) if isinstance(event, yaml.AliasEvent) else 1
        if self._values > MAX_VALUES:
            # A few aliases of aliases of aliases are small here but endless for whoever prints or walks them.
            raise ConfigurationError(f"the aliases stand for more than {MAX_VALUES} values; write fewer of them")
        self._sizes.setdefault(id(node), self._values - before)
        return node

    def _size_behind(self, event: Any, node: yaml.Node | None) -> int:
        """How many values an alias stands for."""
        self._aliases += 1
        if self._aliases > MAX_ALIASES:
            raise ConfigurationError(f"more than {MAX_ALIASES} YAML aliases; write the values out")
        if id(node) not in self._sizes:
            raise ConfigurationError(
                f"line {event.start_mark.line + 1}: the alias {event.anchor!r} contains itself; write the values out"
            )
        return self._sizes[id(node)]

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            line = f"line {key_node.start_mark.line + 1}"
            if key_node.tag == _MERGE_KEY:
                raise ConfigurationError(f"{line}: merge keys (`<<`) are not read; write the values out")
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise ConfigurationError(f"{line}: a key must be plain, not {key!r}")
            if key in seen:
                raise ConfigurationError(f"{line}: the key {key!r} is given twice")
            seen.add(key)
        return super().construct_mapping(node, deep)


def parse(text: str, origin: str) -> dict[str, Any]:
    """The mapping that a YAML document holds.

    Args:
        origin: where the text comes from, for error messages.

    Raises:
        ConfigurationError: it is not YAML, not a mapping with text keys, too large, or repeats a key.
    """
    if len(text) > MAX_CHARACTERS:
        raise ConfigurationError(f"{origin}: {len(text)} characters of YAML; at most {MAX_CHARACTERS} are read")
    try:
        content = yaml.load(text, Loader=_StrictLoader)  # noqa: S506  (a subclass of SafeLoader)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date or a number that cannot be one
        raise ConfigurationError(f"{origin} is not YAML: {error}") from error
    except ConfigurationError as error:
        raise ConfigurationError(f"{origin}: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ConfigurationError(f"{origin} must hold a mapping (`key: value` lines) at its top")
    return content


def read(path: Path) -> dict[str, Any]:
    """`parse` of a file's text. Raises ConfigurationError as it does, or if the file cannot be read."""
    try:
        return parse(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        raise ConfigurationError(f"there is no file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error


class _Dumper(yaml.SafeDumper):
    """SafeDumper that writes lists and mappings of plain values on one line."""


def _represent_list(dumper: yaml.SafeDumper, data: list[Any]) -> yaml.Node:
    flat = not any(isinstance(entry, list | dict) for entry in data)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=flat)


def _represent_dict(dumper: yaml.SafeDumper, data: dict[str, Any]) -> yaml.Node:
    flat = "value" in data  # a rule: short, and one of many
    return dumper.represent_mapping("tag:yaml.org,2002:map", data.items(), flow_style=flat)


def _represent_text(dumper: yaml.SafeDumper, data: str) -> yaml.Node:
    # Unicode's line ends would be written as they are, and read as spaces: between double quotes they are escaped
    style = '"' if any(end in data for end in "\x85\u2028\u2029") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(list, _represent_list)
_Dumper.add_representer(dict, _represent_dict)


def dump(content: dict[str, Any]) -> str:
    """YAML that `parse` reads back to an equal mapping, keys in the given order."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
