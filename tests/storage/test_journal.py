from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from heterosis.core.errors import StorageError
from heterosis.storage import NewProposal, Responses, Store, StudyRecord


def test_everything_that_happens_is_in_the_journal(
    store: Store, study: StudyRecord, proposal: Callable[..., NewProposal], answers: Callable[..., Responses]
) -> None:
    (candidate,) = store.asks.record(study.id, 0, [proposal(0.5)])
    evaluation = candidate.evaluations["search"]
    first = store.queue.claim(evaluation.id, "me")
    assert first is not None
    store.queue.release(evaluation.id, first)
    second = store.queue.claim(evaluation.id, "you")
    assert second is not None
    store.results.finish(evaluation.id, second, [answers(1.0)], {}, {})
    store.asks.mark_told(study.id, 0, ())
    store.studies.set_state(study.id, "complete")
    journal = store.events.all(study.id)
    assert [entry.type for entry in journal] == [
        "study.created",
        "candidate.proposed",
        "evaluation.queued",
        "ask.recorded",
        "evaluation.started",
        "evaluation.released",
        "evaluation.started",
        "evaluation.succeeded",
        "ask.told",
        "study.state",
    ]
    assert {entry.study_id for entry in journal} == {study.id}
    assert journal[4].payload == {"attempt": 1, "worker": "me"}
    assert journal[4].subject_id == evaluation.id
    assert [entry.at for entry in journal] == sorted(entry.at for entry in journal)


def test_the_journal_is_read_from_a_place_on(store: Store, study: StudyRecord) -> None:
    other = store.studies.create("second", {}, seed=1, plugin_versions={})
    for state in ("running", "paused", "running"):
        store.studies.set_state(study.id, state)  # type: ignore[arg-type]
    journal = store.events.all(study.id)
    assert store.events.all(study.id, after=journal[1].id) == journal[2:]
    assert store.events.all(study.id, after=journal[0].id, limit=2) == journal[1:3]
    assert len(store.events.all(other.id)) == 1


def test_artifacts_of_a_candidate(store: Store, study: StudyRecord, tmp_path: Path) -> None:
    base = store.candidates.add_reference(study.id, "base", {}, "a" * 64)
    first = store.artifacts.record(base.id, "safetensors", tmp_path / "merged", "b" * 64, 2**40)
    copy = store.artifacts.record(base.id, "safetensors", tmp_path / "copy", "b" * 64, 2**40)
    assert store.artifacts.of(base.id) == [first, copy]
    assert first.path == str(tmp_path / "merged")
    again = store.artifacts.record(base.id, "safetensors", tmp_path / "merged", "c" * 64, 1000)
    assert store.artifacts.of(base.id) == [copy, again], "what was written over is gone"


def test_what_was_measured_of_a_candidates_exports(store: Store, study: StudyRecord) -> None:
    base = store.candidates.add_reference(study.id, "base", {}, "a" * 64)
    other = store.candidates.add_reference(study.id, "other", {}, "b" * 64)
    assert store.artifacts.exports(base.id) == []
    first = {"format": "gguf", "path": "/one", "bytes": 1000, "decode_speed": 31.5}
    second = {"format": "gguf", "path": "/two", "bytes": 2000}
    again = {**first, "decode_speed": 30.0}
    for figures in (first, second, again):
        store.artifacts.note_export(base.id, figures)
    store.artifacts.note_export(other.id, second)
    assert store.artifacts.exports(base.id) == [again, second]
    assert store.artifacts.exports(other.id) == [second]


def test_an_artifact_belongs_to_someone(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no candidate with id nowhere"):
        store.artifacts.record("nowhere", "safetensors", tmp_path, "a" * 64, 1)
    assert store.artifacts.of("nowhere") == []
