"""`heterosis up` and `heterosis down`: a fleet of one's own, that only its owner can reach, and that keeps its data."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import heterosis as ht
import psutil
import pytest
from heterosis.core.errors import ConfigurationError, HeterosisError
from heterosis.service.cli import app
from heterosis.storage import Store
from heterosis.workers import local_fleet
from heterosis.workers.broker import check_reachable, parse_broker
from heterosis.workers.local_fleet import LocalFleet
from typer.testing import CliRunner

pytestmark = [pytest.mark.server, pytest.mark.slow]

WORKER = """
import os, signal, sys
from pathlib import Path
from heterosis.storage import Store, this_process
assert "password" not in " ".join(sys.argv)
with Store.open(os.environ["HETEROSIS_STORAGE"]) as store:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    worker = store.workers.register(this_process(), "here", os.getpid(), "0", "celery", ["any"], {"name": "cpu"})
    signal.sigwait([signal.SIGTERM])
    store.workers.move(worker.id, "gone", "drained")
"""


@pytest.fixture
def folder():
    """A place for a fleet that is short, for its sockets, and open, for root's PostgreSQL; its processes are ended."""
    around = Path(tempfile.mkdtemp(prefix="up-"))
    around.chmod(0o711)
    yield around / "fleet"
    fleet = LocalFleet(around / "fleet")
    list(fleet.down(grace_seconds=1))
    shutil.rmtree(around)


@pytest.fixture
def fleet(folder):
    return LocalFleet(folder)


@pytest.fixture
def run():
    """`run("up", ...)`: what the command prints; the status must be 0, or what is given."""

    def invoke(*words, status=0):
        result = CliRunner().invoke(app, [str(word) for word in words])
        assert result.exit_code == status, result.output
        return " ".join(result.output.split())

    return invoke


def variables(fleet):
    """What a shell has that reads the file."""
    script = f'source {fleet.environment}; printf \'%s\\n%s\' "$HETEROSIS_STORAGE" "$HETEROSIS_BROKER"'
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout.split("\n")


def pids(fleet):
    remembered = json.loads((fleet.folder / "processes.json").read_text())
    return {name: int(known.rsplit(":", 2)[1]) for name, known in remembered.items()}


def is_alive(pid):
    """Whether it runs: what this process started is a zombie until it is collected."""
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_up_serves_down_ends_and_the_data_stay(run, fleet):
    shown = run("up", "--folder", fleet.folder, "--no-workers")
    assert "broker started" in shown
    assert "database started" in shown
    assert f"source {fleet.environment}" in shown
    storage, broker = variables(fleet)
    check_reachable(parse_broker(broker))
    with Store.open(storage) as store:
        store.studies.create("kept", {}, seed=1, plugin_versions={})
    before = pids(fleet)

    shown = run("up", "--folder", fleet.folder, "--no-workers")
    assert "broker up already" in shown
    assert "database up already" in shown
    assert pids(fleet) == before

    shown = run("down", "--folder", fleet.folder)
    assert "broker ended" in shown
    assert "database ended" in shown
    assert not any(is_alive(pid) for pid in before.values())
    assert "broker was not up" in run("down", "--folder", fleet.folder)

    run("up", "--folder", fleet.folder, "--no-workers")
    assert variables(fleet) == [storage, broker]
    with Store.open(storage) as store:
        assert [study.name for study in store.studies.all()] == ["kept"]

    assert "removed" in run("down", "--folder", fleet.folder, "--delete")
    assert not fleet.folder.exists()
    assert "there is no fleet" in run("down", "--folder", fleet.folder)


def test_only_its_owner_can_reach_it(run, fleet):
    shown = run("up", "--folder", fleet.folder, "--no-workers")
    storage, _ = variables(fleet)
    others = 0o066 if os.geteuid() == 0 else 0o077  # root's PostgreSQL has to pass through the folder
    assert not fleet.folder.stat().st_mode & others
    for name in ("environment", "passwords.json", "valkey.conf", "broker.log", "database.log"):
        assert not (fleet.folder / name).stat().st_mode & 0o077, name
    assert not (fleet.folder / "postgresql").stat().st_mode & 0o077
    for pid in pids(fleet).values():
        process = psutil.Process(pid)
        assert process.net_connections(kind="inet") == [], "nothing listens on a network"
        for password in json.loads((fleet.folder / "passwords.json").read_text()).values():
            assert password not in " ".join(process.cmdline())
            assert password not in shown
    with pytest.raises(HeterosisError, match="password"):
        Store.open(storage.replace(storage.split(":")[2].split("@")[0], "wrong"))
    with pytest.raises(ConfigurationError, match="refuses"):
        check_reachable(parse_broker(f"redis+socket://{fleet.folder}/valkey.sock"))


def test_it_outlives_the_command(fleet):
    line = [sys.executable, "-c", "from heterosis.service.cli import main; main()"]
    command = [*line, "up", "--no-workers", "--folder", str(fleet.folder)]
    subprocess.run(command, check=True, capture_output=True, start_new_session=True)
    assert all(psutil.Process(pid).terminal() is None for pid in pids(fleet).values())
    check_reachable(parse_broker(variables(fleet)[1]))


def test_what_crashed_is_started_again_on_the_same_data(fleet):
    list(fleet.up(devices=None))
    storage, _ = variables(fleet)
    with Store.open(storage) as store:
        store.studies.create("kept", {}, seed=1, plugin_versions={})
    for pid in pids(fleet).values():
        os.kill(pid, signal.SIGKILL)
    assert fleet._remembered.wait("broker", 30)
    assert fleet._remembered.wait("database", 30)
    assert {step.name: step.done for step in fleet.up(devices=None)} == {"broker": True, "database": True}
    with Store.open(storage) as store:
        assert [study.name for study in store.studies.all()] == ["kept"]


def test_a_process_that_got_the_number_of_an_old_one_is_left_alone(fleet):
    list(fleet.up(devices=None))
    list(fleet.down())
    stranger = subprocess.Popen(["sleep", "600"])
    try:
        path = fleet.folder / "processes.json"
        old = json.loads(path.read_text())
        changed = {name: ":".join([*known.rsplit(":", 2)[:1], str(stranger.pid), "1"]) for name, known in old.items()}
        path.write_text(json.dumps({**changed, "workers": changed["broker"]}))
        assert not any(step.done for step in fleet.down())
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_workers_come_up_last_and_are_drained_first(fleet, monkeypatch):
    monkeypatch.setattr(local_fleet, "worker_command", lambda devices: [sys.executable, "-c", WORKER])
    assert [step.name for step in fleet.up()] == ["broker", "database", "workers"]
    assert [step.done for step in fleet.up()] == [False, False, False]
    assert [step.name for step in fleet.down()] == ["workers", "broker", "database"]
    list(fleet.up(devices=None))
    with Store.open(variables(fleet)[0]) as store:
        assert [(worker.state, worker.reason) for worker in store.workers.all()] == [("gone", "drained")]


def test_a_worker_that_does_not_start_shows_its_last_words(fleet, monkeypatch):
    program = "import sys; sys.exit('the device has left')"
    monkeypatch.setattr(local_fleet, "worker_command", lambda devices: [sys.executable, "-c", program])
    with pytest.raises(HeterosisError, match=r"(?s)no worker came up.*the device has left"):
        list(fleet.up())
    assert [step.done for step in fleet.up(devices=None)] == [False, False], "the rest is up"


def test_other_peoples_folders_are_left_alone(folder, fleet):
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigurationError, match="holds other things"):
        list(fleet.up(devices=None))
    fleet.delete()
    assert (folder / "thesis.txt").read_text() == "mine"


def test_a_folder_that_is_too_deep_for_sockets_is_refused(folder):
    deep = LocalFleet(folder / ("x" * 100))
    with pytest.raises(ConfigurationError, match="shorter --folder"):
        list(deep.up(devices=None))


@pytest.mark.skipif(os.geteuid() != 0, reason="concerns root's PostgreSQL")
def test_root_is_told_where_the_database_cannot_be(folder):
    folder.mkdir()
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    fleet = LocalFleet(closed / "f")
    with pytest.raises(ConfigurationError, match="closed to others"):
        list(fleet.up(devices=None))
    list(fleet.down())
    assert closed.stat().st_mode & 0o777 == 0o700


def test_a_study_runs_on_it(fleet, monkeypatch, tmp_path, checkpoints, choice_items, write_lines):
    assert [step.done for step in fleet.up("cpu")] == [True, True, True]
    storage, broker = variables(fleet)
    monkeypatch.setenv("HETEROSIS_BROKER", broker)
    space = ht.Space(
        base=str(checkpoints / "base"),
        sources=[str(checkpoints / name) for name in ("one", "two")],
        merge=ht.Merge("task_arithmetic", weight=(0.0, 1.5)),
        relative_to=tmp_path,
    )
    words = str(write_lines(tmp_path / "words.jsonl", choice_items(12)))
    goals = [ht.maximize("accuracy", task=words, items=4)]
    with closing(ht.Study("tiny", space, goals, optimizer="random", seed=3, finalists=1, storage=storage)) as study:
        study.optimize(3, workers="celery")
        assert [candidate.record.state for candidate in study.candidates] == ["complete"] * 3
        (worker,) = study.store.workers.all()
        family = psutil.Process(pids(fleet)["workers"]).children(recursive=True)
        assert worker.pid in [process.pid for process in family]
    assert all(step.done for step in fleet.down())
    assert not any(is_alive(process.pid) for process in family), "no evaluating process is left"
