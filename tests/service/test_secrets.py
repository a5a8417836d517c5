"""URLs with passwords: refused as arguments, taken from the environment or a file, shown nowhere."""

import logging
import os
import shlex

import pytest
import typer
from heterosis.core.errors import ConfigurationError
from heterosis.core.redaction import without_secrets
from heterosis.search.study import Study
from heterosis.service.cli import app
from heterosis.service.opening import command_line
from heterosis.service.options import BROKER_VARIABLE, STORAGE_VARIABLE, Broker, Storage
from heterosis.service.secrets import Url, url_option
from heterosis.storage import Store
from heterosis.storage.tables import metadata
from sqlalchemy import make_url, select
from typer.testing import CliRunner

CANARY = "canary-Pa55word"
URL = f"postgresql://me:{CANARY}@127.0.0.1:1/studies"
OPTIONS = {"--storage": (STORAGE_VARIABLE, URL), "--broker": (BROKER_VARIABLE, f"redis://:{CANARY}@127.0.0.1:1/0")}


def commands_with(option):
    commands = typer.main.get_command(app).commands
    return {name: one for name, one in commands.items() if any(option in param.opts for param in one.params)}


EVERY = [(option, name) for option in OPTIONS for name in commands_with(option)]


@pytest.fixture
def secret_file(tmp_path):
    def write(text, mode=0o600):
        file = tmp_path / "the url"
        file.write_text(text, encoding="utf-8")
        file.chmod(mode)
        return file

    return write


@pytest.fixture
def given():
    """What a command gets of `--storage` and `--broker`."""
    probe, seen = typer.Typer(), {}

    @probe.command()
    def command(storage: Storage = "sqlite:///default.db", broker: Broker = None):
        seen.update(storage=storage, broker=broker)

    def ask(*words, **environment):
        result = CliRunner().invoke(probe, words, env=environment)
        if isinstance(result.exception, ConfigurationError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return seen

    return ask


@pytest.mark.parametrize(("option", "name"), EVERY)
def test_every_command_refuses_a_password_among_its_arguments(option, name, tmp_path, heterosis):
    variable, url = OPTIONS[option]
    words = ["1" for param in commands_with(option)[name].params if param.param_type_name == "argument"]
    for given in ([option, url], [f"{option}={url}"]):
        refused = heterosis(tmp_path, name, *words, *given, code=1)
        assert f"the URL after {option} has a password" in refused.stderr
        assert f"environment variable {variable}" in " ".join(refused.stderr.split())
        assert f"{option} @FILE" in " ".join(refused.stderr.split())
        assert CANARY not in refused.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("option", "name"), EVERY)
def test_no_command_has_an_option_of_its_own(option, name):
    (found,) = [param for param in commands_with(option)[name].params if option in param.opts]
    assert getattr(found.callback, "__wrapped__", None) is url_option
    assert found.envvar == OPTIONS[option][0]


def test_without_a_password_an_argument_is_taken_as_it_is(given):
    for url in (
        "sqlite:///a.db",
        "a@b.db",
        "postgresql://me@host:5432/name?sslmode=require",
        "sqlite:////tmp/a:b@c.db",
    ):
        assert given("--storage", url)["storage"] == url
    assert given("--broker", "redis://me@host:6379/0")["broker"] == "redis://me@host:6379/0"
    assert given() == {"storage": "sqlite:///default.db", "broker": None}


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://host/name?user=me&password={CANARY}",
        f"postgresql://host/name?sslpassword={CANARY}&a=b",
        f"postgresql+psycopg://me:{CANARY}@[bad/name",
        f"postgresql://me:@{CANARY}/with@marks@host/name",
    ],
)
def test_wherever_it_stands_a_password_is_seen(url, given):
    with pytest.raises(ConfigurationError, match="has a password") as caught:
        given("--storage", url)
    assert CANARY not in str(caught.value)


def test_the_environment_is_taken_as_it_is(given, secret_file):
    found = given(HETEROSIS_STORAGE=URL, HETEROSIS_BROKER=OPTIONS["--broker"][1])
    assert (found["storage"], found["broker"]) == (URL, OPTIONS["--broker"][1])
    assert given(HETEROSIS_STORAGE=f"@{secret_file(URL)}")["storage"] == URL


def test_a_file_gives_its_first_line(given, secret_file):
    file = secret_file(f"\ufeff  {URL} \r\nwhatever else\n")
    assert given("--storage", f"@{file}")["storage"] == URL


@pytest.mark.skipif(os.name != "posix" or not hasattr(os, "geteuid"), reason="modes are POSIX's")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602])
def test_a_file_that_others_can_read_is_refused(mode, given, secret_file):
    file = secret_file(URL, mode)
    with pytest.raises(ConfigurationError) as caught:
        given("--storage", f"@{file}")
    advice = str(caught.value).splitlines()[-1]
    assert CANARY not in str(caught.value)
    assert shlex.split(advice) == ["chmod", "600", str(file)]


@pytest.mark.parametrize(("content", "words"), [(None, "cannot be read"), ("\n" + URL, "is empty"), (b"\xff", "UTF-8")])
def test_a_file_that_holds_no_url(content, words, given, tmp_path):
    file = tmp_path / "url"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        file.chmod(0o600)
    with pytest.raises(ConfigurationError, match=words) as caught:
        given("--broker", f"@{file}")
    assert "--broker" in str(caught.value)
    assert CANARY not in str(caught.value)


def test_the_command_to_go_on_with_can_be_typed(given, secret_file):
    file = secret_file(URL)
    url = given("--storage", f"@{file}")["storage"]
    again = shlex.split(command_line("resume", "a b", url))
    assert again == ["heterosis", "resume", "a b", "--storage", f"@{file}"]
    assert given(*again[3:])["storage"] == URL
    assert command_line("resume", "a", given(HETEROSIS_STORAGE=URL)["storage"]) == "heterosis resume a"
    assert command_line("resume", "a", given()["storage"]) == "heterosis resume a"
    typed = given("--storage", "postgresql://me@host/name")["storage"]
    assert command_line("resume", "a", typed) == "heterosis resume a --storage postgresql://me@host/name"


def test_a_url_is_text_that_remembers_how_it_was_given():
    url = Url("sqlite:///a.db", "@file")
    assert (url, url.typed, isinstance(url, str)) == ("sqlite:///a.db", "@file", True)


def test_other_text_stays():
    assert without_secrets("12:30 at me@host, see https://host:80/a") == "12:30 at me@host, see https://host:80/a"


@pytest.fixture
def url_with_password(postgresql_url):
    """Of a PostgreSQL database; its server would let anybody in."""
    url = make_url(postgresql_url).set(drivername="postgresql", password=CANARY)
    return url.render_as_string(hide_password=False)


@pytest.mark.server
def test_no_output_log_or_row_shows_it(url_with_password, tmp_path, write_study, heterosis, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    folder = write_study(tmp_path, fitness={"estimator": "random_mean", "first": 4, "most": 8})
    said = []

    def run(*words, code=0):
        said.append(heterosis(folder, *words, code=code, HETEROSIS_STORAGE=url_with_password).output)

    def interrupted(self, *arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Study, "optimize", interrupted)
        run("run", "study.yaml", code=130)
    assert "heterosis resume tiny" in said[-1]
    run("run", "study.yaml", code=1)
    assert "has a study 'tiny' already" in said[-1]
    looks = [("status",), ("best",), ("front",), ("lineage", 0), ("lineage", 0, "--provenance"), ("fitness",)]
    for words in [("resume",), *looks, ("doctor",), ("export", "out")]:
        run(*words)
    run("best", "unknown", "--debug", code=1)
    assert "Traceback" in said[-1]
    with Store.open(url_with_password) as store:
        assert store.studies.get("tiny").state == "complete"
        with store.database.read() as connection:
            rows = [str(row) for table in metadata.sorted_tables for row in connection.execute(select(table))]
    assert len(rows) > 50
    for text in (*said, *rows, caplog.text):
        assert CANARY not in text


@pytest.mark.parametrize("words", [("status",), ("resume",), ("doctor",), ("status", "--debug"), ("doctor", "--json")])
def test_no_error_shows_it(words, tmp_path, heterosis, caplog):
    caplog.set_level(logging.DEBUG)
    failed = heterosis(tmp_path, *words, code=1, HETEROSIS_STORAGE=URL)
    assert "127.0.0.1" in failed.output
    assert CANARY not in failed.output + caplog.text
