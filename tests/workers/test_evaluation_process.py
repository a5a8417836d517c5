"""The evaluating process: spoken to in JSON lines, ended when it must be, started again, its last words kept."""

import os
import signal
import sys
import textwrap
import time

import psutil
import pytest
from heterosis.workers.evaluation_process import LOG_LINES, ChildLostError, EvaluationProcess

CHILD = """
    import os, signal, sys, time
    from heterosis.workers.channel import ChildChannel

    channel = ChildChannel()
    print("hello from a library")
    for request in channel.requests():
        channel.begin(request)
        {does}
        channel.reply(finished=True)
    """


@pytest.fixture
def process(tmp_path):
    """`process("channel.reply(answer=1)")`: a child that does this with each request."""
    made = []

    def make(does, **settings):
        file = tmp_path / f"child{len(made)}.py"
        text = textwrap.dedent(CHILD).format(does=textwrap.indent(textwrap.dedent(does), " " * 4).strip())
        file.write_text(text, encoding="utf-8")
        made.append(EvaluationProcess("cpu", 10**9, **settings))
        made[-1]._command = [sys.executable, str(file)]
        return made[-1]

    yield make
    for one in made:
        one.end()


def always():
    return True


def test_replies_come_one_by_one_and_the_process_stays(process):
    one = process("channel.reply(answer=request['n']); channel.reply(answer=request['n'] + 1)")
    assert list(one.ask({"n": 1}, always)) == [{"answer": 1}, {"answer": 2}]
    first = one.pid
    assert list(one.ask({"n": 5}, always)) == [{"answer": 5}, {"answer": 6}]
    assert one.pid == first


def test_a_request_that_was_given_up_leaves_no_reply_to_the_next_one(process):
    one = process("for place in range(3): channel.reply(answer=[request['n'], place])")
    given_up = one.ask({"n": 1}, always)
    assert next(given_up) == {"answer": [1, 0]}
    assert list(one.ask({"n": 2}, always)) == [{"answer": [2, place]} for place in range(3)]
    given_up.close()
    assert list(one.ask({"n": 3}, always)) == [{"answer": [3, place]} for place in range(3)]


def test_what_libraries_print_goes_to_the_log_and_not_among_the_replies(process):
    one = process("print('noise'); print('more', file=sys.stderr); channel.reply(answer=1)")
    assert list(one.ask({}, always)) == [{"answer": 1}]
    deadline = time.monotonic() + 30
    while not all(line in one.log_tail for line in ("hello from a library", "noise", "more")):
        assert time.monotonic() < deadline, one.log_tail  # it is read beside the replies: a moment later, perhaps
        time.sleep(0.01)


def test_one_that_is_killed_says_by_what_and_another_takes_its_place(process):
    one = process(
        """
        if request.get("die"):
            print("Traceback: no room", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        channel.reply(answer=1)
        """
    )
    with pytest.raises(ChildLostError) as lost:
        list(one.ask({"die": True}, always))
    assert (lost.value.ending.outcome, lost.value.ending.exit_signal) == ("lost", signal.SIGKILL)
    assert lost.value.ending.log_tail.endswith("Traceback: no room\n")
    assert list(one.ask({}, always)) == [{"answer": 1}]


def test_one_that_leaves_by_itself_is_lost_too(process):
    one = process("sys.exit(0)")
    with pytest.raises(ChildLostError) as lost:
        list(one.ask({}, always))
    assert (lost.value.ending.outcome, lost.value.ending.exit_signal) == ("lost", None)


def test_one_that_takes_too_long_is_ended_with_all_that_it_started(process, tmp_path):
    one = process(
        f"""
        import subprocess
        channel.reply(begun=True)
        other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        open({str(tmp_path / "pid")!r}, "w").write(str(other.pid))
        channel.reply(answer=other.pid)
        time.sleep(600)
        """
    )
    started = []
    with pytest.raises(ChildLostError) as lost:
        started.extend(one.ask({}, always, limit_seconds=1.0))
    assert lost.value.ending.outcome == "timeout"
    grandchild = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 30
    while _runs(grandchild):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert one.pid is None


def _runs(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_what_it_loads_before_it_begins_does_not_count_against_the_limit(process):
    one = process("time.sleep(3.0); channel.reply(begun=True); channel.reply(answer=1)")
    assert list(one.ask({}, always, limit_seconds=2.0)) == [{"answer": 1}]


def test_one_that_may_not_go_on_is_ended(process):
    asked = []

    def twice():
        asked.append(1)
        return len(asked) < 3

    with pytest.raises(ChildLostError) as lost:
        list(process("time.sleep(600)").ask({}, twice))
    assert lost.value.ending.outcome == "released"


def test_one_that_takes_too_much_memory_is_ended(process):
    one = process("hoard = bytearray(400 << 20); time.sleep(600)", host_limit_bytes=200 << 20)
    with pytest.raises(ChildLostError) as lost:
        list(one.ask({}, always))
    assert lost.value.ending.outcome == "memory"


def test_a_log_without_end_takes_no_more_room_than_its_last_lines(process):
    one = process("[print('x' * 100_000) for _ in range(1000)]; channel.reply(answer=1)")
    assert list(one.ask({}, always)) == [{"answer": 1}]
    assert len(one._log) <= LOG_LINES
    assert len(one.log_tail) <= LOG_LINES * 2000


def test_a_child_ends_with_its_worker(process):
    one = process("time.sleep(600)")
    waiting = one.ask({}, always)
    with pytest.raises(ChildLostError):
        next(one.ask({}, lambda: False))
    assert one.pid is None
    waiting.close()


def test_secrets_are_not_passed_on(process, monkeypatch):
    monkeypatch.setenv("HETEROSIS_STORAGE", "postgresql://me:canary@host/a")
    one = process("channel.reply(answer=[key for key, value in os.environ.items() if 'canary' in value])")
    assert list(one.ask({}, always)) == [{"answer": []}]


def test_the_real_child_ends_when_its_worker_is_gone():
    one = EvaluationProcess("cpu", 10**9)
    one._start()
    pid = one.pid
    child = psutil.Process(pid)
    os.close(one._child.stdin.fileno())  # as when the worker dies
    psutil.wait_procs([child], timeout=120)
    assert one._child.wait(1) == 0
    one._child.stdin = None
    one.end()
