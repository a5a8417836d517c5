"""Logs: lines for people, JSON for programs, the ids of the work in each, and no secret in any."""

import io
import json
import logging
import threading

import pytest
from heterosis.workers import logs

CANARY = "kanarienvogel"


@pytest.fixture
def logged():
    """`logged("json", worker="w1")` sets logging up; returns what gives the lines written so far."""
    made = []

    def begin(log_format, **fields):
        stream = io.StringIO()
        made.append(logs.set_up(log_format, stream=stream, **fields))
        return lambda: stream.getvalue().splitlines()

    yield begin
    for handler in made:
        logging.getLogger().removeHandler(handler)
    logging.getLogger(logs.LOGGER).setLevel(logging.NOTSET)


logger = logging.getLogger("heterosis.workers.test")


def test_json_lines_carry_the_ids_of_the_work(logged):
    lines = logged("json", worker="w1")
    with logs.context(study="tiny", candidate="candidate 17", evaluation="E1", attempt=2):
        logger.info("merged %s in %.1f s", "candidate 17", 0.5, extra={"items": 12})
    logger.info("idle")
    first, second = map(json.loads, lines())
    assert first.pop("time").endswith("+00:00")
    assert first == {
        "level": "INFO",
        "logger": "heterosis.workers.test",
        "message": "merged candidate 17 in 0.5 s",
        "worker": "w1",
        "study": "tiny",
        "candidate": "candidate 17",
        "evaluation": "E1",
        "attempt": 2,
        "items": 12,
    }
    assert "study" not in second
    assert second["worker"] == "w1"


def test_text_lines_are_for_people(logged):
    lines = logged("text", worker="w1")
    with logs.context(study="tiny", candidate="candidate 17", attempt=2):
        logger.warning("out of memory, asking in batches of %d", 4)
    logger.info("idle")
    first, second = lines()
    assert first[8:] == " WARNING tiny, candidate 17, attempt 2: out of memory, asking in batches of 4"
    assert second[8:] == " INFO    idle"


def test_a_context_within_another_ends_with_it(logged):
    lines = logged("json")
    with logs.context(study="tiny", candidate="a"):
        with logs.context(candidate="b", evaluation="E"):
            logger.info("inner")
        logger.info("outer")
    inner, outer = map(json.loads, lines())
    assert (inner["study"], inner["candidate"], inner["evaluation"]) == ("tiny", "b", "E")
    assert (outer["candidate"], "evaluation" in outer) == ("a", False)


def test_a_context_is_its_threads_own(logged):
    lines = logged("json")
    with logs.context(study="tiny"):
        thread = threading.Thread(target=logger.info, args=("elsewhere",))
        thread.start()
        thread.join()
    assert "study" not in json.loads(lines()[0])


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_secret_is_written_anywhere(logged, log_format):
    lines = logged(log_format, broker=f"redis://:{CANARY}@host/0")
    url = f"redis://:{CANARY}@host:6379/0"
    logger.info("connecting to %s", url)
    logger.info(f"connecting to {url}")
    logger.info("%(where)s", {"where": url})
    logger.info("see fields", extra={"url": url, "nested": {"list": [url]}}, stack_info=True)
    logging.getLogger("kombu.connection").error("Connection refused: %r", {"url": url})
    with logs.context(study=url):
        try:
            raise ConnectionError(f"no route to {url}")
        except ConnectionError as error:
            try:
                raise RuntimeError("gave up") from error
            except RuntimeError:
                logger.exception("failed")
    text = "\n".join(lines())
    assert CANARY not in text
    assert text.count("***@host") >= 6
    assert "no route to" in text
    assert "gave up" in text
    if log_format == "json":
        assert "no route to redis://:***@host" in json.loads(lines()[-1])["exception"]


def test_other_handlers_see_the_record_as_it_was(logged, caplog):
    logged("json")
    with logs.context(study="tiny"):
        logger.warning("to %s", "redis://:secret@host")
    assert caplog.records[0].args == ("redis://:secret@host",)
    assert not hasattr(caplog.records[0], "study")


def test_setting_up_again_replaces(logged):
    first, second = logged("json"), logged("text")
    logger.info("once")
    assert (len(first()), len(second())) == (0, 1)


def test_libraries_are_heard_from_warnings_on(logged):
    lines = logged("text")
    logging.getLogger("kombu").info("chatter")
    logging.getLogger("kombu").warning("broker gone")
    assert [line[8:] for line in lines()] == [" WARNING broker gone"]


def test_what_json_has_no_word_for_is_written_all_the_same(logged):
    lines = logged("json")
    logger.info("odd", extra={"kind": ValueError("x"), "some": {1, 2}, "bytes_": b"x"})
    assert json.loads(lines()[0])["message"] == "odd"
