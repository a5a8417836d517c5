"""A process has few connections to a server, and does without those that died while they rested."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from heterosis.core.errors import StorageError
from heterosis.storage import Store, StudyRecord, pooling
from sqlalchemy import text

pytestmark = pytest.mark.server


@pytest.fixture
def server_store(postgresql_url: str) -> Iterator[Store]:
    with Store.open(postgresql_url) as opened:
        yield opened


def test_a_connection_says_whose_it_is_and_keeps_itself_alive(server_store: Store) -> None:
    with server_store.database.read() as connection:
        assert connection.scalar(text("SHOW application_name")) == "heterosis"
        driver = connection.connection.driver_connection
        assert driver is not None
        assert driver.info.get_parameters()["keepalives_idle"] == "30"


def test_what_the_url_says_counts_first(postgresql_url: str) -> None:
    joint = "&" if "?" in postgresql_url else "?"
    with Store.open(f"{postgresql_url}{joint}application_name=mine") as store, store.database.read() as connection:
        assert connection.scalar(text("SHOW application_name")) == "mine"


def test_threads_share_a_bounded_number_of_connections(server_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    most = pooling.KEPT + pooling.MORE
    monkeypatch.setattr(server_store.database.engine.pool, "_timeout", 0.1)
    ready, end = threading.Barrier(most + 1), threading.Event()

    def hold() -> None:
        with server_store.database.read():
            ready.wait(30)
            end.wait(30)

    threads = [threading.Thread(target=hold) for _ in range(most)]
    for thread in threads:
        thread.start()
    ready.wait(30)
    try:
        with pytest.raises(StorageError, match="all connections that this process may have"):
            server_store.studies.all()
    finally:
        end.set()
        for thread in threads:
            thread.join()
    assert server_store.studies.all() == []


def test_a_connection_that_died_while_it_rested_is_replaced(
    server_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    created: StudyRecord = server_store.studies.create("first", {}, seed=7, plugin_versions={})
    with Store.open(server_store.database.address) as other, other.database.write() as connection:
        ended = connection.scalars(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
                "AND datname = current_database() AND application_name = 'heterosis'"
            )
        ).all()
    assert ended
    monkeypatch.setattr(pooling, "RESTED_SECONDS", -1.0)
    assert server_store.studies.get("first") == created
