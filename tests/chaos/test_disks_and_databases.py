"""A full disk is an error that says so, tears nothing and is overcome; so is a database that is killed."""

import os
import subprocess
from contextlib import contextmanager, suppress

import heterosis as ht
import pytest
from heterosis.core.errors import StorageError
from heterosis.testing.invariants import check_finished, check_record
from sqlalchemy import event, text

CANDIDATES = 24


@contextmanager
def full_after(store, pages):
    """The disk has room for so many more pages."""
    engine = store.database.engine
    with store.database.read() as connection:
        most = connection.scalar(text("PRAGMA page_count")) + pages

    def limit(connection, record):
        connection.execute(f"PRAGMA max_page_count={most}")

    event.listen(engine, "connect", limit)
    engine.dispose()
    yield
    event.remove(engine, "connect", limit)
    engine.dispose()


def test_a_disk_that_is_full_again_and_again_tears_nothing(study, seen, tmp_path):
    whole = study(tmp_path / "whole.db").optimize(CANDIDATES)
    hurt = study(tmp_path / "hurt.db")
    failures = []
    for pages in range(1, 60):
        try:
            with full_after(hurt.store, pages):
                hurt.optimize(CANDIDATES)
            break
        except StorageError as error:
            failures.append(str(error))
            check_record(hurt.store, hurt.record.id)
            with hurt.store.database.read() as connection:
                assert connection.scalar(text("PRAGMA integrity_check")) == "ok"
    assert all("the disk is full: free some space and resume" in failure for failure in failures)
    assert len(failures) > 3
    check_finished(hurt.store, hurt.record.id)
    assert seen(hurt) == seen(whole)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 24 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("a file system may not be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(folder):
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(os.urandom(4096))
    return ballast


def test_a_real_disk_that_is_full_costs_a_resume(small_disk, study, seen, tmp_path):
    whole = study(tmp_path / "whole.db").optimize(CANDIDATES)
    hurt = study(small_disk / "hurt.db")
    ballast = []

    def fill_up(progress):
        if progress.stage == "search" and progress.done == 5 and not ballast:
            ballast.append(fill(small_disk))

    with pytest.raises(StorageError, match="disk"):
        hurt.optimize(CANDIDATES, fill_up)
    ballast[0].unlink()
    check_record(hurt.store, hurt.record.id)
    hurt.optimize(CANDIDATES)
    check_finished(hurt.store, hurt.record.id)
    assert seen(hurt) == seen(whole)


def test_a_model_that_does_not_fit_on_the_disk_leaves_nothing_half_written(small_disk, study, tmp_path):
    one = study(tmp_path / "a.db").optimize(2)
    ballast = fill(small_disk)
    with pytest.raises(ht.HeterosisError, match=r"No space left|disk|space"):
        one.best().export(small_disk / "model")
    assert not list(small_disk.glob("model/*.safetensors"))
    assert one.store.artifacts.of(one.best().record.id) == []
    ballast.unlink()
    one.best().export(small_disk / "model")
    check_record(one.store, one.record.id)


@pytest.mark.server
@pytest.mark.slow
def test_a_database_that_is_killed_costs_no_process(
    study, fleet, coordinator, until, valkey, postgresql_server, seen, tmp_path
):
    whole = study(tmp_path / "whole.db").optimize(CANDIDATES)
    hurt = study(postgresql_server.url)
    workers = fleet(hurt, 2, broker=valkey.url)
    leader = coordinator(hurt, CANDIDATES, "celery", broker=valkey.url)
    pids = {worker.pid for worker in until(lambda: len(workers.at_work()) == 2 and workers.at_work())}
    postgresql_server.kill()
    postgresql_server.start()
    leader.finish()
    assert leader.starts == 1
    assert {worker.pid for worker in hurt.store.workers.live()} == pids
    check_finished(hurt.store, hurt.record.id)
    assert seen(hurt) == seen(whole)
