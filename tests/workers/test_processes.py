"""The executor `processes` evaluates in worker processes, and gives the same study as the local one."""

import os
import signal

import psutil
import pytest
from heterosis.core.errors import ConfigurationError

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("sources", [("one", "two"), ("lora-one", "lora-two")])
def test_two_workers_give_the_same_study_as_this_process(sources, study, seen):
    here, there = study("here", sources=sources), study("there", sources=sources)
    here.optimize(12)
    there.optimize(12, workers="processes", devices="cpu,cpu")
    assert seen(there) == seen(here)
    workers = there.store.workers.all()
    assert [worker.kind for worker in workers] == ["processes", "processes"]
    assert sum(worker.done for worker in workers) >= 12


def test_no_process_is_left_when_a_study_is_closed(study):
    one = study("a")
    one.optimize(2, workers="processes", devices="cpu")
    pids = [worker.pid for worker in one.store.workers.all()]
    children = [child.pid for pid in pids for child in psutil.Process(pid).children(recursive=True)]
    assert children, "the evaluating process stays warm"
    one.close()
    assert not any(psutil.pid_exists(pid) for pid in (*pids, *children))


def test_a_worker_that_is_killed_costs_an_attempt_and_no_candidate(study, seen):
    here, there = study("here"), study("there")
    here.optimize(12)
    killed = []

    def kill_once(progress):
        if progress.done == 3 and not killed:
            worker = there.store.workers.live()[0]
            killed.append(worker.pid)
            os.kill(worker.pid, signal.SIGKILL)

    there.optimize(12, listener=kill_once, workers="processes", devices="cpu,cpu")
    assert killed
    assert seen(there) == seen(here)


def test_an_evaluating_process_that_is_killed_is_started_again(study):
    one = study("a")

    def kill(progress):
        if progress.done == 2:
            for worker in one.store.workers.live():
                for child in psutil.Process(worker.pid).children():
                    child.kill()

    one.optimize(6, listener=kill, workers="processes", devices="cpu")
    assert [candidate.record.state for candidate in one.candidates] == ["complete"] * 6


def test_options_that_it_does_not_have_are_refused(study):
    with pytest.raises(ConfigurationError, match="the executor 'processes' has no option 'speed'"):
        study("a").optimize(2, workers="processes", speed=3)
    with pytest.raises(ConfigurationError, match="there is no device 'cuda:77' here"):
        study("b").optimize(2, workers="processes", devices="cuda:77")


def test_a_study_that_no_worker_can_load_says_why(study, tmp_path):
    one = study("a")
    assert one.items["search"], "this process has read them"
    (tmp_path / "words.jsonl").unlink()
    with pytest.raises(ConfigurationError, match=r"no worker can evaluate this study.*words\.jsonl"):
        one.optimize(2, workers="processes", devices="cpu")
