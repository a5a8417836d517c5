"""The edge of the program: errors, bugs, signals, secrets."""

import json
import os
import signal
import subprocess
import sys

import pytest
from heterosis.core.redaction import without_secrets
from heterosis.search.study import Study


def test_a_bug_shows_a_traceback_and_how_to_go_on(tmp_path, write_study, heterosis, monkeypatch):
    def broken(self, *arguments):
        raise ValueError("postgresql://me:topsecret@host/name broke")

    monkeypatch.setattr(Study, "optimize", broken)
    failed = heterosis(write_study(tmp_path), "run", "study.yaml", code=1)
    assert "Traceback" in failed.stderr
    assert "heterosis resume tiny" in failed.stderr
    assert "topsecret" not in failed.stderr


@pytest.mark.parametrize(("words", "environment"), [(["--debug"], {}), ([], {"HETEROSIS_DEBUG": "1"})])
def test_tracebacks_on_request(words, environment, tmp_path, heterosis):
    assert "Traceback" in heterosis(tmp_path, "status", *words, code=1, **environment).stderr
    assert "Traceback" not in heterosis(tmp_path, "status", code=1).stderr


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://me:a@b:c@host/db and more", "postgresql://me:***@host/db and more"),
        ("postgresql://host/db?user=me&password=x&a=b", "postgresql://host/db?user=me&password=***&a=b"),
        ("nothing: to hide@all", "nothing: to hide@all"),
    ],
)
def test_passwords_are_blotted_out(text, shown):
    assert without_secrets(text) == shown


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_search_goes_on_as_if_nothing_had_been(number, code, tmp_path, write_study, heterosis):
    folder = write_study(tmp_path, candidates=20)
    process = subprocess.Popen(
        [sys.executable, "-c", "from heterosis.service.cli import main; main()", "run", "study.yaml", "--no-export"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's `&` would have it ignored
        env={**os.environ, "HETEROSIS_STORAGE": "sqlite:///heterosis.db"},
    )
    while not process.stdout.readline().startswith("search "):
        assert process.poll() is None
    process.send_signal(number)
    rest, said = process.communicate(timeout=60)
    assert process.returncode == code, said
    assert "nothing is lost" in said
    assert "heterosis resume tiny --no-export" in said
    assert "Traceback" not in said
    assert "\x1b" not in rest + said
    stopped = json.loads(heterosis(folder, "status", "--json").stdout)
    assert stopped["state"] == "paused"
    assert 0 < stopped["done"] < 20
    if number == signal.SIGTERM:
        return
    heterosis(folder, "resume", "--no-export")
    heterosis(folder, "run", "study.yaml", "--name", "whole", "--no-export")
    assert history(folder, "tiny") == history(folder, "whole")


def history(folder, name):
    study = Study.load(name, folder / "heterosis.db")
    figures = [(candidate.genome, candidate.measurements) for candidate in study.candidates]
    assert study.record.state == "complete"
    study.close()
    return figures


def test_the_advice_to_go_on_shows_no_password(monkeypatch):
    from heterosis.service.opening import command_line

    url = "postgresql://me:topsecret@host/studies"
    assert command_line("resume", "a b", url) == (
        "heterosis resume 'a b' --storage 'postgresql+psycopg://me:***@host/studies'"
    )
    monkeypatch.setenv("HETEROSIS_STORAGE", url)
    assert command_line("resume", "a b", url) == "heterosis resume 'a b'"
