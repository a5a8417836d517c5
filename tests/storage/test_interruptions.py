"""Ctrl-C at any moment leaves the database free, for this process and for others."""

import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest
from heterosis.core.errors import StorageError
from heterosis.storage import Store
from heterosis.storage.tables import studies
from heterosis.storage.uninterrupted import uninterrupted
from sqlalchemy import update

pytestmark = pytest.mark.slow

HAMMER = """
import os, random, signal, sys, threading, time
from heterosis.storage import Store

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` would have it ignored
chance = random.Random(4)
begun, over = threading.Event(), threading.Event()

def interrupt():
    while not over.is_set():
        begun.wait()
        begun.clear()
        time.sleep(chance.uniform(0, 0.003))
        os.kill(os.getpid(), signal.SIGINT)

with Store.open(sys.argv[1], wait_seconds=0.05) as store:
    study = store.studies.create("first", {}, seed=1, plugin_versions={})
    threading.Thread(target=interrupt, daemon=True).start()
    kept = []  # as a notebook keeps the last traceback, and a handler the exception that it handles
    for round in range(int(sys.argv[2])):
        try:
            begun.set()
            while True:
                store.studies.set_state(study.id, "running")
                store.studies.get("first")
        except KeyboardInterrupt as interruption:
            kept = [interruption]
            store.studies.set_state(study.id, "paused")
    over.set()
    print("survived", store.studies.get("first").state)
"""


def test_real_interruptions_at_any_moment(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", HAMMER, str(tmp_path / "a.db"), "150"], capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "survived paused\n", done.stderr


def test_an_interruption_at_every_step_of_a_write(tmp_path):
    with Store.open(tmp_path / "a.db", wait_seconds=0.02) as store, handling(signal.SIGINT, signal.default_int_handler):
        study = store.studies.create("first", {}, seed=1, plugin_versions={})
        store.studies.set_state(study.id, "running")  # the first time, statements are compiled
        steps = interrupted_at(0, store.studies.set_state, study.id, "running")
        assert steps > 1000
        for step in range(1, steps - 50, 7):
            with pytest.raises(KeyboardInterrupt) as kept:
                interrupted_at(step, store.studies.set_state, study.id, "running")
            store.studies.set_state(study.id, "paused")
            assert kept.value.__traceback__ is not None


def test_an_interruption_raised_in_a_transaction_rolls_it_back(store, study):
    def interrupted_write():
        with store.database.write() as connection:
            connection.execute(update(studies).values(seed=99))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as kept:
        interrupted_write()
    store.studies.set_state(study.id, "paused")
    assert store.studies.get("first").seed == 7
    assert kept.value.__traceback__ is not None


def test_a_request_in_a_transaction_is_heard_at_its_end(store, study):
    def asked_to_end():
        with store.database.write() as connection:
            connection.execute(update(studies).values(seed=99))
            signal.raise_signal(signal.SIGINT)
            connection.execute(update(studies).values(state="paused"))
            store.studies.get("first")  # an inner transaction is not the end of the outer one

    with handling(signal.SIGINT, signal.default_int_handler), pytest.raises(KeyboardInterrupt):
        asked_to_end()
    found = store.studies.get("first")
    assert (found.seed, found.state) == (99, "paused")


def test_what_fails_is_told_before_what_was_asked(store):
    def failing():
        with store.database.write():
            signal.raise_signal(signal.SIGINT)
            raise StorageError("full")

    with handling(signal.SIGINT, signal.default_int_handler), pytest.raises(KeyboardInterrupt) as caught:
        failing()
    assert isinstance(caught.value.__context__, StorageError)


def test_who_asks_three_times_does_not_wait():
    reached = []

    def hanging():
        with uninterrupted():
            for attempt in range(1, 9):
                signal.raise_signal(signal.SIGINT)
                reached.append(attempt)

    with handling(signal.SIGINT, signal.default_int_handler), pytest.raises(KeyboardInterrupt):
        hanging()
    assert reached == [1, 2]


def test_handlers_are_as_they_were():
    with handling(signal.SIGINT, signal.default_int_handler), handling(signal.SIGTERM, signal.SIG_DFL):
        with uninterrupted():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, "what does not raise is left alone"
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_other_threads_have_no_part_in_it(tmp_path):
    with Store.open(tmp_path / "a.db") as store:
        thread = threading.Thread(target=store.studies.create, args=("first", {}, 1, {}))
        thread.start()
        thread.join()
        assert [study.name for study in store.studies.all()] == ["first"]


def interrupted_at(step, function, *arguments):
    """Calls a function; SIGINT comes before its `step`th line, those of the libraries below it counted too."""
    lines = 0

    def trace(frame, event, argument):
        nonlocal lines
        lines += event == "line"
        if event == "line" and lines == step:
            signal.raise_signal(signal.SIGINT)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function(*arguments)
    finally:
        sys.settrace(before)
    return lines


@contextmanager
def handling(number, handler):
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)
