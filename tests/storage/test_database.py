from __future__ import annotations

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from heterosis.core.errors import ConfigurationError, StorageError
from heterosis.storage import NewProposal, Store, StudyRecord
from heterosis.storage.database import parse_url, visible
from heterosis.storage.ids import new_id
from heterosis.storage.tables import studies
from sqlalchemy import event, make_url, select, text, update


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("heterosis.db", "sqlite:///heterosis.db"),
        (Path("/runs/a.db"), "sqlite:////runs/a.db"),
        ("sqlite:////runs/a.db", "sqlite:////runs/a.db"),
        ("postgres://me@host/name", "postgresql+psycopg://me@host/name"),
        ("postgresql+psycopg2://me@host/name", "postgresql+psycopg://me@host/name"),
    ],
)
def test_paths_and_urls(given: str | Path, meant: str) -> None:
    assert str(parse_url(given)) == meant


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        (":memory:", "names no file"),
        ("mysql://me@host/name", "'mysql' can be used"),
        ("postgresq://me@host/name", "Did you mean 'postgresql'"),
        ("postgresql://me:secret@host:port/name", "cannot be read"),
    ],
)
def test_what_cannot_be_a_database(given: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        parse_url(given)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_passwords_are_never_shown() -> None:
    url = parse_url("postgresql://me:secret@localhost:1/name?sslpassword=hidden&connect_timeout=2")
    assert "secret" not in visible(url)
    assert "hidden" not in visible(url)
    with pytest.raises(StorageError, match="does not answer") as caught:
        Store.open(url.render_as_string(hide_password=False))
    assert "secret" not in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_a_reader_needs_no_write_lock(store: Store, study: StudyRecord) -> None:
    with store.database.write() as connection:
        connection.execute(update(studies).values(seed=99))
        assert store.studies.get("first").seed == 7, "what is not committed is not seen"
    assert store.studies.get("first").seed == 99


def test_a_read_sees_one_state(store: Store, study: StudyRecord) -> None:
    with store.database.read() as connection:
        before = connection.scalar(select(studies.c.state))
        store.studies.set_state(study.id, "running")
        assert connection.scalar(select(studies.c.state)) == before == "created"


def test_a_failed_write_leaves_no_trace(store: Store, study: StudyRecord) -> None:
    def write() -> None:
        with store.database.write() as connection:
            connection.execute(update(studies).values(seed=99))
            connection.execute(update(studies).values(state="asleep"))

    with pytest.raises(StorageError, match="ck_studies_state"):
        write()
    assert store.studies.get("first").seed == 7


def test_times_are_aware_and_in_utc(store: Store, study: StudyRecord) -> None:
    rome = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=1)))
    with store.database.write() as connection:
        connection.execute(update(studies).values(updated_at=rome))
    found = store.studies.get("first").updated_at
    assert found == rome
    assert found.tzinfo is UTC
    with pytest.raises(StorageError, match="has no time zone"), store.database.write() as connection:
        connection.execute(update(studies).values(updated_at=datetime(2026, 1, 1)))


def test_a_recipe_has_finite_numbers_only(store: Store, study: StudyRecord) -> None:
    with pytest.raises(StorageError, match="nothing was recorded"):
        store.candidates.add_reference(study.id, "base", {"weight": float("nan")}, "a" * 64)
    assert store.candidates.all(study.id) == []


def test_the_settings_of_a_connection(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.db", wait_seconds=12.0) as store, store.database.read() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")
        }
        assert found == {"journal_mode": "wal", "synchronous": 1}
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 12000
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


def test_a_full_disk(tmp_path: Path, proposal: Callable[..., NewProposal]) -> None:
    with Store.open(tmp_path / "a.db") as store:
        study = store.studies.create("first", {}, seed=1, plugin_versions={})
        store.asks.record(study.id, 0, [proposal(0.5)])
        store.database.close()  # so that the next connections are new and get the limit

        @event.listens_for(store.database.engine, "connect")
        def shrink(connection: sqlite3.Connection, record: object) -> None:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count={pages + 1}")

        with pytest.raises(StorageError, match="the disk is full: free some space and resume"):
            store.asks.record(study.id, 1, [proposal(1 / place) for place in range(1, 300)])
        assert len(store.asks.all(study.id)) == len(store.candidates.all(study.id)) == 1
        event.remove(store.database.engine, "connect", shrink)
        store.database.close()
        assert len(store.asks.record(study.id, 1, [proposal(1 / place) for place in range(1, 300)])) == 299


def test_a_writer_that_never_ends(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.db", wait_seconds=0.1) as store:
        with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StorageError, match="another process has been writing to it for too long"):
                store.studies.create("first", {}, seed=1, plugin_versions={})
            assert store.studies.all() == []
        store.studies.create("first", {}, seed=1, plugin_versions={})


def test_a_database_that_may_not_be_written(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a.db") as store:
        with store.database.read() as connection:
            connection.exec_driver_sql("PRAGMA query_only=ON")
        with pytest.raises(StorageError, match="check the permissions of the file and of its folder"):
            store.studies.create("first", {}, seed=1, plugin_versions={})


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="check that the folder exists"):
        Store.open(tmp_path / "nowhere" / "a.db")


def test_a_file_that_is_something_else(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("not a database, but someone's notes\n" * 100)
    with pytest.raises(StorageError, match="something other than an SQLite database"):
        Store.open(file)
    assert file.read_text().startswith("not a database")


@pytest.mark.server
def test_a_database_that_is_not_there(server: str) -> None:
    with pytest.raises(StorageError, match="that the database exists"):
        Store.open(make_url(server).set(database="nowhere").render_as_string(hide_password=False))


@pytest.mark.server
def test_a_connection_that_was_cut_is_replaced(postgresql_url: str) -> None:
    with Store.open(postgresql_url) as store:
        store.studies.create("first", {}, seed=1, plugin_versions={})
        cut = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()")
        with pytest.raises(StorageError, match="does not answer"), store.database.write() as connection:
            connection.execute(cut)
        assert store.studies.get("first").seed == 1


def test_ids_sort_by_time() -> None:
    ids = [new_id() for _ in range(1000)]
    assert ids == sorted(set(ids))
    assert {len(one) for one in ids} == {26}


def test_threads_share_a_store(store: Store) -> None:
    def create(place: int) -> None:
        store.studies.create(f"study {place}", {}, seed=place, plugin_versions={})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(create, range(24)))
    assert {study.seed for study in store.studies.all()} == set(range(24))
