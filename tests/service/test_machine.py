"""`plugins`, `doctor`, and the help."""

import json

import pytest
from heterosis.core import registry


def test_plugins(tmp_path, heterosis):
    printed = heterosis(tmp_path, "plugins").stdout
    assert "task_arithmetic" in printed
    found = json.loads(heterosis(tmp_path, "plugins", "tasks", "--json", "--check").stdout)
    assert {plugin["kind"] for plugin in found} == {"tasks"}
    assert "Did you mean 'tasks'?" in heterosis(tmp_path, "plugins", "task", code=1).stderr


def test_a_broken_plugin_is_named(tmp_path, heterosis, monkeypatch):
    broken = registry.Plugin("tasks", "theirs", "their.module:Task", "their-package 2.0", "it does not import")
    monkeypatch.setattr(registry, "installed", lambda: [broken])
    assert "theirs: it does not import" in heterosis(tmp_path, "plugins").stdout
    heterosis(tmp_path, "plugins", "--check", code=1)
    assert "it does not import" in heterosis(tmp_path, "doctor", code=1).stdout


def test_doctor_writes_nothing(tmp_path, heterosis):
    content = json.loads(heterosis(tmp_path, "doctor", "--json", HETEROSIS_CACHE=str(tmp_path / "cache")).stdout)
    assert content["problems"] == []
    assert "is not there yet" in content["storage"]["database"]
    assert list(tmp_path.iterdir()) == []


def test_doctor_hides_passwords(tmp_path, heterosis):
    url = "postgresql://me:topsecret@127.0.0.1:1/studies"
    found = heterosis(tmp_path, "doctor", HETEROSIS_STORAGE=url, code=1)
    assert "127.0.0.1" in found.output
    assert "topsecret" not in found.output


@pytest.mark.parametrize(
    "command", ["check", "run", "resume", "status", "best", "front", "lineage", "export", "plugins", "doctor"]
)
def test_every_command_has_a_help_with_an_example(command, tmp_path, heterosis):
    printed = heterosis(tmp_path, command, "--help").stdout
    assert "Example" in printed
    assert f"heterosis {command}" in printed.partition("Example")[2]


def test_without_a_command_there_is_help(tmp_path, heterosis):
    assert "heterosis run study.yaml" in heterosis(tmp_path, code=2).output
