"""`events`: the journal as lines or JSON, from a cursor, and as it grows."""

import json

import pytest
from heterosis.core.errors import StorageError
from heterosis.core.genome import Genome, content_hash
from heterosis.service import watching
from heterosis.storage import NewProposal, Store
from heterosis.storage.event_feed import EventFeed

OWNER = "gpu-box.example.org:0123456789ab:4711:99"


@pytest.fixture
def journal(tmp_path):
    """A study with a candidate that failed, a worker that came up and left, and a second study."""
    with Store.open(tmp_path / "heterosis.db") as store:
        study = store.studies.create("tiny", {}, seed=1, plugin_versions={})
        recipe = {"weight": 1}
        proposal = NewProposal(Genome({"weight": 1}), recipe, content_hash(recipe), content_hash([1]), "random")
        (candidate,) = store.asks.record(study.id, 0, [proposal])
        evaluation = candidate.evaluations["search"]
        store.results.fail(evaluation.id, store.queue.claim(evaluation.id, OWNER), "weights", "not finite")
        worker = store.workers.register(OWNER, "gpu-box", 4711, "1.0", "celery", [], {"name": "cuda:0"})
        store.workers.move(worker.id, "gone", "asked to end")
        store.studies.create("second", {}, seed=1, plugin_versions={})
    return tmp_path


def ids(result):
    return [json.loads(line)["id"] for line in result.stdout.splitlines()]


def test_the_journal(journal, heterosis):
    date, *lines = heterosis(journal, "events").stdout.splitlines()
    assert date.endswith("(UTC)")
    assert [line.split(maxsplit=2)[2] for line in lines if "evaluation.started" in line] == [
        "evaluation.started    candidate 0 of tiny, attempt 1, worker gpu-box:4711"
    ]
    assert [line.split(maxsplit=3)[3] for line in lines if "worker." in line] == [
        "gpu-box:4711, device cuda:0",
        "gpu-box:4711, reason asked to end",
    ]
    of_study = heterosis(journal, "events", "--study", "tiny", "--type", "evaluation.failed").stdout
    assert of_study.splitlines()[1].endswith("evaluation.failed     candidate 0, attempt 1, kind weights")


def test_the_journal_for_scripts(journal, heterosis):
    everything = heterosis(journal, "events", "--json", "--last", "100")
    first, *_, last = map(json.loads, everything.stdout.splitlines())
    assert (first["type"], first["study"], first["payload"]) == ("study.created", "tiny", {"name": "tiny"})
    assert (last["type"], last["study"]) == ("study.created", "second")
    numbers = ids(everything)
    assert numbers == sorted(set(numbers))
    assert ids(heterosis(journal, "events", "--json", "--last", "2")) == numbers[-2:]
    assert ids(heterosis(journal, "events", "--json", "--after", numbers[3])) == numbers[4:]
    assert ids(heterosis(journal, "events", "--json", "--after", numbers[-1])) == []
    some = heterosis(journal, "events", "--json", "--type", "worker.up", "--type", "worker.gone")
    assert [json.loads(line)["name"] for line in some.stdout.splitlines()] == ["gpu-box:4711"] * 2


def test_where_there_is_nothing_it_says_why(journal, heterosis, tmp_path_factory):
    printed = heterosis(journal, "events", "--type", "evaluation.fialed", "--study", "tiny").stdout
    assert printed.startswith("No evaluation.fialed of the study tiny. Types there are: ask.recorded, ")
    assert "Did you mean 'tiny'?" in heterosis(journal, "events", "--study", "tinny", code=1).stderr
    empty = tmp_path_factory.mktemp("empty")
    Store.open(empty / "heterosis.db").close()
    assert "heterosis run STUDY.yaml" in heterosis(empty, "events").stdout
    assert heterosis(empty, "events", "--json").stdout == ""


def test_what_happens_meanwhile_is_followed(journal, heterosis, monkeypatch):
    pauses = []

    def meanwhile(seconds):
        pauses.append(seconds)
        if len(pauses) == 4:
            raise KeyboardInterrupt
        with Store.open(journal / "heterosis.db") as store:
            store.events.note(store.studies.get("tiny").id, "test.noted", f"number {len(pauses)}", {})

    read, reads = EventFeed.read, []

    def sometimes(self, limit=1000):
        reads.append(limit)
        if len(reads) == 4:
            raise StorageError("the server does not answer")
        return read(self, limit)

    monkeypatch.setattr(watching.time, "sleep", meanwhile)
    monkeypatch.setattr(EventFeed, "read", sometimes)
    result = heterosis(journal, "events", "--json", "--follow", "--last", "1")
    seen = [json.loads(line) for line in result.stdout.splitlines()]
    assert [event["subject"] for event in seen[1:]] == ["number 1", "number 2", "number 3"]
    assert seen[0]["type"] == "study.created"
    assert "the server does not answer\nTrying again every second" in result.stderr
