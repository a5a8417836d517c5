"""`queue` and `workers`: what a person sees of a fleet, at each width, live or as JSON; what to do where nothing is."""

import io
import json
import os
import pty
import signal
import sys
from datetime import timedelta

import pytest
from heterosis.core.errors import StorageError
from heterosis.core.genome import Genome, content_hash
from heterosis.service import watching
from heterosis.service.queue_screen import plain_line, screen
from heterosis.service.worker_words import age, place, stage
from heterosis.storage import CHECK_PART, NewProposal, Store
from heterosis.storage.monitor import Monitor
from heterosis.storage.monitor_records import Subject
from heterosis.storage.records import Ending
from heterosis.storage.tables import evaluations, workers
from rich.console import Console
from sqlalchemy import update

LONG = "layer 3: 12 of 4096 weights are not finite (NaN or infinite), at a density of 0.02 and a weight of 1.9"


def owner(number):
    return f"gpu-box-{number}.cluster.example.org:0123456789ab:{4711 + number}:99"


def propose(number):
    recipe = {"weight": number}
    return NewProposal(Genome({"weight": number}), recipe, content_hash(recipe), content_hash([number]), "random")


def change(store, table, id_, **values):
    with store.database.write() as connection:
        now = store.database.now(connection)
        moved = {key: now + value if isinstance(value, timedelta) else value for key, value in values.items()}
        connection.execute(update(table).where(table.c.id == id_).values(**moved))


def claim(store, evaluation, number=0):
    return store.queue.claim(evaluation.id, owner(number))


@pytest.fixture
def empty(tmp_path):
    Store.open(tmp_path / "heterosis.db").close()
    return tmp_path


@pytest.fixture
def fleet(tmp_path):
    """Candidate 0 succeeded, 1 failed, 2 is in quarantine, 3 and 4 run, 5 to 9 wait, two for a larger device."""
    with Store.open(tmp_path / "heterosis.db") as store:
        study = store.studies.create("tiny", {}, seed=1, plugin_versions={})
        store.studies.set_state(study.id, "running")
        found = [one.evaluations["search"] for one in store.asks.record(study.id, 0, [propose(n) for n in range(10)])]
        ids = [
            store.workers.register(
                owner(n), owner(n).split(":")[0], 4711 + n, "1.0", "celery", ["default"],
                {"name": "cuda:0", "memory_bytes": 24 * 10**9},
            ).id
            for n in range(3)
        ]  # fmt: skip
        store.results.finish(found[0].id, claim(store, found[0]), [], {}, {"merge": 1.0, "score": 4.0})
        store.results.fail(found[1].id, claim(store, found[1]), "weights", f"{LONG}\nmore")
        for signal in (9, 9, 11):
            ending = Ending("lost", exit_signal=signal, log_tail="merging\nCUDA error\nAborted")
            store.queue.lose(found[2].id, claim(store, found[2], 1), ending)
        for number, share in ((3, 0.43), (4, None)):
            store.queue.beat(found[number].id, claim(store, found[number], number - 3), progress=share)
        store.workers.evaluates(ids[0], found[3].id, done=118, failed=2)
        change(store, workers, ids[1], last_seen_at=timedelta(minutes=-5))
        change(store, evaluations, found[4].id, lease_expires_at=timedelta(seconds=-5))
        store.workers.move(ids[2], "gone", "asked to end")
        for evaluation in found[8:]:
            change(store, evaluations, evaluation.id, queue="80g", priority=5)
    return tmp_path


def test_the_queue(fleet, heterosis):
    printed = heterosis(fleet, "queue").stdout
    lines = printed.splitlines()
    assert lines[0].startswith("5 waiting, 2 running, 1 worker, about ")
    assert "(2 failed) in an hour, 5.0 s each" in lines[1]
    rows = [line.split(maxsplit=4) for line in lines[4:6]]
    assert rows == [["80g", "5", "2", "0", "nobody takes from it"], ["default", "0", "3", "2", "1"]]
    (running,) = [line for line in lines if line.startswith("candidate 3 ")]
    assert "gpu-box-0:4711  cuda:0" in running
    assert "43%" in running
    assert [line.split()[-2:] for line in lines if line.startswith("candidate 4 ")] == [["ended", "silent"]]
    (failed,) = [line for line in lines if line.startswith("candidate 1 ")]
    assert f"weights: {LONG}" in failed
    assert "In quarantine: candidate 2 of tiny, lost 3 workers" in printed
    assert "(SIGSEGV)" in printed
    assert "  CUDA error\n  Aborted\n" in printed
    assert "can hold what waits in 80g" in printed
    assert "1 of the workers fell silent" in printed


def test_the_queue_for_scripts(fleet, heterosis):
    content = json.loads(heterosis(fleet, "queue", "--json", "--failures", "1").stdout)
    assert [depth["queued"] for depth in content["depths"]] == [2, 3]
    assert content["running"][0]["subject"]["candidate"] == "candidate 3"
    assert content["running"][0]["progress"] == 0.43
    assert content["outlook"]["mean_seconds"] == 5.0
    assert content["quarantined"][0]["attempts"][2]["exit_signal"] == 11
    assert len(content["failures"]) == 1
    assert {worker["state"] for worker in content["workers"]} == {"up", "lost"}


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_screen_fits(fleet, width):
    with Store.open(fleet / "heterosis.db") as store:
        seen = store.monitor.fleet()
    console = Console(file=io.StringIO(), width=width, color_system=None, markup=False)
    console.print(screen(seen, width))
    lines = console.file.getvalue().splitlines()
    assert all(len(line) <= width for line in lines)
    assert sum(line.startswith("candidate") for line in lines) == 3, "one line for each"
    assert ("lease" in console.file.getvalue()) == (width >= 100)


def test_of_many_that_run_as_many_as_fit_are_shown(fleet):
    with Store.open(fleet / "heterosis.db") as store:
        for number in (5, 6, 7):
            (one,) = [c for c in store.candidates.all(store.studies.get("tiny").id) if c.number == number]
            claim(store, one.evaluations["search"])
        seen = store.monitor.fleet(failures=0)
    console = Console(file=io.StringIO(), width=80, color_system=None, markup=False)
    console.print(screen(seen, 80, height=10))
    assert "and 2 more" in console.file.getvalue()


def test_an_empty_queue_says_how_to_fill_it(empty, heterosis):
    printed = heterosis(empty, "queue").stdout
    assert printed.startswith("0 waiting, 0 running, 0 workers\n")
    assert "heterosis run STUDY.yaml" in printed
    printed = heterosis(empty, "workers").stdout
    assert "No worker is up" in printed
    assert "heterosis worker" in printed
    assert json.loads(heterosis(empty, "workers", "--json").stdout) == []


def test_what_waits_without_a_worker_says_how_to_start_one(fleet, heterosis):
    with Store.open(fleet / "heterosis.db") as store:
        for worker in store.workers.all():
            store.workers.move(worker.id, "gone")
    printed = heterosis(fleet, "queue").stdout
    assert "No worker is up: `heterosis worker` starts one" in printed
    printed = heterosis(fleet, "workers", "--all").stdout
    assert "No worker is up" in printed


def test_a_database_that_is_not_there(tmp_path, heterosis):
    for command in ("queue", "workers", "events"):
        assert "heterosis.db" in heterosis(tmp_path, command, code=1).stderr
    assert not list(tmp_path.iterdir())


def test_the_workers(fleet, heterosis):
    lines = heterosis(fleet, "workers").stdout.splitlines()
    first, second = (line.split() for line in lines[1:3])
    assert first[:4] == ["gpu-box-0:4711", "cuda:0", "24.0", "GB"]
    assert first[6:12] == ["up", "candidate", "3,", "search", "118", "2"]
    assert second[6:8] == ["lost", "-"]
    assert second[-3:] == ["5", "min", "ago"]
    assert "gpu-box-2" not in "".join(lines)
    printed = heterosis(fleet, "workers", "--all").stdout
    assert "gone" in printed
    assert "gpu-box-2:4713: asked to end" in printed
    narrow = heterosis(fleet, "workers", COLUMNS="80").stdout
    assert "24.0 GB" not in narrow
    assert all(len(line) <= 80 for line in narrow.splitlines())


def test_a_worker_that_cannot_evaluate_a_study_is_named(fleet, heterosis):
    with Store.open(fleet / "heterosis.db") as store:
        study = store.studies.get("tiny")
        worker = store.workers.all()[0]
        store.events.note(study.id, "worker.refused", worker.id, {"reason": "the plugin `odd` is not installed"})
    for command in ("queue", "workers"):
        printed = heterosis(fleet, command).stdout
        assert "gpu-box-0:4711" in printed
        assert "cannot evaluate tiny: the plugin `odd` is not installed" in printed


def test_what_waits_for_its_study_says_how_it_goes_on(fleet, heterosis):
    with Store.open(fleet / "heterosis.db") as store:
        store.studies.set_state(store.studies.get("tiny").id, "paused")
    printed = heterosis(fleet, "queue").stdout
    assert "5 of those that wait are of tiny, which does not run now: `heterosis resume tiny`" in printed
    assert "nobody takes from it" not in printed


@pytest.fixture
def stopped_after(monkeypatch):
    """`stopped_after(2)`: Ctrl-C comes in the second pause between looks."""

    def set_up(pauses):
        taken = []

        def pause(seconds):
            taken.append(seconds)
            if len(taken) == pauses:
                raise KeyboardInterrupt

        monkeypatch.setattr(watching.time, "sleep", pause)

    return set_up


def test_watching_without_a_terminal_prints_lines_and_ends_quietly(fleet, heterosis, stopped_after):
    stopped_after(3)
    result = heterosis(fleet, "queue", "--watch")
    lines = result.stdout.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("5 waiting, 2 running, 1 worker, ") for line in lines)
    assert result.stderr == ""


def test_watching_for_scripts(fleet, heterosis, stopped_after):
    stopped_after(2)
    lines = heterosis(fleet, "queue", "--watch", "--json").stdout.splitlines()
    assert [json.loads(line)["depths"][0]["queue"] for line in lines] == ["80g", "80g"]


def test_a_database_that_restarts_does_not_end_the_watch(fleet, heterosis, stopped_after, monkeypatch):
    look, looks = Monitor.fleet, []

    def sometimes(self, failures=5):
        looks.append(failures)
        if len(looks) == 2:
            raise StorageError("the server does not answer")
        return look(self, failures)

    monkeypatch.setattr(Monitor, "fleet", sometimes)
    stopped_after(3)
    lines = heterosis(fleet, "queue", "--watch").stdout.splitlines()
    assert lines[1] == "the server does not answer"
    assert all(line.startswith("5 waiting, 2 running") for line in (lines[0], lines[2]))


@pytest.mark.slow
def test_watching_on_a_terminal(fleet):
    """On the other page until Ctrl-C; the last look stays on the first."""
    child, terminal = pty.fork()
    if child == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # tests started in the background inherit that it is ignored
        os.environ["TERM"] = "xterm-256color"
        os.execv(sys.executable, [sys.executable, "-c", "from heterosis.service.cli import main; main()", "queue", "-w",
                                  "--storage", str(fleet / "heterosis.db")])  # fmt: skip
    seen = b""
    while b"waiting" not in seen:
        seen += os.read(terminal, 65536)
    os.write(terminal, b"\x03")
    try:
        while more := os.read(terminal, 65536):
            seen += more
    except OSError:  # the terminal is closed: the program has ended
        pass
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    other, _, first = seen.decode().partition("\x1b[?1049l")
    assert "\x1b[?1049h" in other
    assert "5 waiting, 2 running" in first
    assert "Interrupted" not in first


def test_words():
    assert place("gpu.example.org:0123456789ab:12:1") == "gpu:12"
    assert place("10.0.0.7:0123456789ab:12:1") == "10.0.0.7:12"
    assert place("somebody") == "somebody"
    assert [age(seconds) for seconds in (-1, 0.4, 119, 120, 7199, 7200, 200_000)] == [
        "0 s",
        "0 s",
        "119 s",
        "2 min",
        "119 min",
        "2 h",
        "2 days",
    ]
    parts = {0: "search", 2: "search 3", CHECK_PART: "search, check"}
    assert {part: stage(Subject("e", "tiny", "candidate 1", 1, "search", part)) for part in parts} == parts


def test_a_line_of_an_empty_fleet(empty):
    with Store.open(empty / "heterosis.db") as store:
        assert plain_line(store.monitor.fleet()) == "0 waiting, 0 running, 0 workers, 0 done in the last minute"
