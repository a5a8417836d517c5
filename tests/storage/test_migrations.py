from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from heterosis.core.errors import StorageError
from heterosis.storage import Store
from heterosis.storage.database import Database, parse_url
from heterosis.storage.migrate import _config
from heterosis.storage.tables import metadata
from sqlalchemy import CheckConstraint, inspect, text


def test_the_migrations_add_up_to_the_tables(empty_url: str) -> None:
    with Store.open(empty_url) as store, store.database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        inspector = inspect(connection)
        for table in metadata.tables.values():
            meant = {check.name for check in table.constraints if isinstance(check, CheckConstraint)}
            assert {check["name"] for check in inspector.get_check_constraints(table.name)} == meant


def test_opening_again_changes_nothing(empty_url: str) -> None:
    with Store.open(empty_url) as store:
        store.studies.create("first", {}, seed=7, plugin_versions={})
    with Store.open(empty_url) as store:
        assert store.studies.get("first").seed == 7


def test_the_way_back(empty_url: str) -> None:
    with Store.open(empty_url) as store, store.database.write() as connection:
        command.downgrade(_config(connection), "base")
        assert set(inspect(connection).get_table_names()) <= {"alembic_version", "sqlite_sequence"}
    with Store.open(empty_url) as store:
        assert store.studies.all() == []


def test_a_newer_schema_is_refused(empty_url: str) -> None:
    with Store.open(empty_url) as store:
        store.studies.create("first", {}, seed=7, plugin_versions={})
        with store.database.write() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StorageError, match=r"schema revision '9999'.*knows none after '0004'.*pip install --upgrade"):
        Store.open(empty_url)
    database = Database(parse_url(empty_url))
    with database.read() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "9999"
        assert connection.scalar(text("SELECT name FROM studies")) == "first"
    database.close()


def test_a_newer_file_keeps_every_byte(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    with closing(sqlite3.connect(file)) as newer, newer:
        newer.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        newer.execute("INSERT INTO alembic_version VALUES ('9999')")
    before = sha256(file.read_bytes()).digest()
    with pytest.raises(StorageError, match="'9999'"):
        Store.open(file)
    assert sha256(file.read_bytes()).digest() == before
    assert [one.name for one in tmp_path.iterdir()] == ["a.db"]


def test_the_tables_of_another_program_are_left_alone(empty_url: str) -> None:
    database = Database(parse_url(empty_url))
    with database.write() as connection:
        connection.execute(text("CREATE TABLE studies (study_id INTEGER)"))
    with pytest.raises(StorageError, match=r"tables of another program \(studies\); give another database"):
        Store.open(empty_url)
    with database.read() as connection:
        assert inspect(connection).get_table_names() == ["studies"]
    database.close()


def test_several_processes_may_be_the_first(empty_url: str) -> None:
    # They wait for a line, so that none of them is done before the last has begun.
    script = "import sys; from heterosis.storage import Store; input(); Store.open(sys.argv[1]).close()"
    processes = [
        subprocess.Popen([sys.executable, "-c", script, empty_url], stdin=-1, stderr=-1, text=True) for _ in range(4)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.communicate(timeout=60)[1] for process in processes] == [""] * 4
    with Store.open(empty_url) as store:
        assert store.studies.all() == []
