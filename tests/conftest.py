"""What every room's tests share: tiny checkpoints on disk, made once, items, and plugins for one test."""

import json

import pytest
from heterosis.core import registry
from heterosis.testing.checkpoints import write_tiny, write_tiny_adapter

WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory):
    """A folder with a float32 Llama `base`, fine-tunes `one`, `two`, `three`, and adapters `lora-one`, `lora-two`."""
    folder = tmp_path_factory.mktemp("checkpoints")
    base = write_tiny(folder / "base")
    for seed, name in enumerate(("one", "two", "three"), start=1):
        write_tiny(folder / name, seed=seed, change=0.3)
    for seed, name in enumerate(("lora-one", "lora-two"), start=1):
        write_tiny_adapter(folder / name, base, seed=seed)
    return folder


@pytest.fixture(scope="session")
def choice_items():
    """`choice_items(4, first=2)`: multiple-choice questions 2 to 5, as dictionaries; no two are alike."""

    def make(count, first=0):
        return [
            {
                "id": f"q{place}",
                "prompt": f"the {WORDS[place % 12]} and the {WORDS[place // 12]} is",
                "choices": [f" {WORDS[(place + step) % 12]}" for step in range(4)],
                "answer": place % 4,
            }
            for place in range(first, first + count)
        ]

    return make


@pytest.fixture(scope="session")
def write_lines():
    """Writes dictionaries as JSON lines to a path, and returns it."""

    def write(path, lines):
        path.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
        return path

    return write


@pytest.fixture
def install_plugin(monkeypatch):
    """`install_plugin("tasks", "odd", Odd)` makes a class a plugin for one test."""
    installed = {}
    load = registry.load
    monkeypatch.setattr(registry, "load", lambda kind, name: installed.get((kind, name)) or load(kind, name))

    def install(kind, name, plugin):
        installed[kind, name] = plugin

    return install
