"""Following the journal: each event once, in order, none missed, though transactions commit in another order."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from heterosis.storage import EvaluationRecord, NewProposal, Store, StudyRecord
from heterosis.storage.events import append
from sqlalchemy import text


def note(store: Store, study: StudyRecord, *subjects: str) -> None:
    for subject in subjects:
        store.events.note(study.id, "test.noted", subject, {})


def test_a_feed_gives_each_event_once(store: Store, study: StudyRecord) -> None:
    feed = store.events.feed()
    assert [event.type for event in feed.read()] == ["study.created"]
    assert feed.read() == []
    note(store, study, "a", "b", "c")
    assert [event.subject_id for event in feed.read(limit=2)] == ["a", "b"]
    assert [event.subject_id for event in feed.read(limit=2)] == ["c"]
    assert feed.read() == []
    again = store.events.feed(after=feed.cursor)
    note(store, study, "d")
    assert [event.subject_id for event in again.read()] == ["d"]


def test_a_feed_of_a_study_and_of_types(store: Store, study: StudyRecord) -> None:
    other = store.studies.create("second", {}, seed=1, plugin_versions={})
    feed = store.events.feed(study_id=other.id, types=["study.state", "test.noted"])
    store.studies.set_state(study.id, "running")
    store.studies.set_state(other.id, "running")
    note(store, study, "theirs")
    note(store, other, "ours")
    assert [(event.type, event.study_id) for event in feed.read()] == [
        ("study.state", other.id),
        ("test.noted", other.id),
    ]
    assert feed.cursor == store.events.recent(1)[0].id, "what was passed over is not looked at again"


def test_the_latest_events_in_order(store: Store, study: StudyRecord) -> None:
    note(store, study, "a", "b", "c")
    assert [event.subject_id for event in store.events.recent(2)] == ["b", "c"]
    assert [event.type for event in store.events.recent(5, study.id, ["study.created"])] == ["study.created"]
    assert store.events.recent(5, "nowhere") == []


@pytest.mark.server
def test_an_event_that_is_late_is_not_missed(postgresql_url: str) -> None:
    """Two transactions take ids 2 and 3, and the one with 3 commits first."""
    with Store.open(postgresql_url) as store:
        study = store.studies.create("first", {}, seed=7, plugin_versions={})
        feed = store.events.feed(after=store.events.recent(1)[0].id)
        with store.database.engine.begin() as slow:
            append(slow, store.database.now(slow), "test.slow", "slow", study_id=study.id)
            note(store, study, "quick")
            seen_by_all = [event.subject_id for event in store.events.recent(2)]
            assert seen_by_all[-1] == "quick", "the gap is real"
            assert feed.read() == []
            assert feed.waits
            note(store, study, "later")
            assert feed.read() == []
        assert [event.subject_id for event in feed.read()] == ["slow", "quick"]
        assert [event.subject_id for event in feed.read()] == ["later"]
        assert not feed.waits


@pytest.mark.server
def test_a_transaction_that_gives_up_holds_back_no_longer(postgresql_url: str) -> None:
    with Store.open(postgresql_url) as store:
        study = store.studies.create("first", {}, seed=7, plugin_versions={})
        feed = store.events.feed(after=store.events.recent(1)[0].id)
        with store.database.engine.connect() as slow:
            append(slow, store.database.now(slow), "test.slow", "slow", study_id=study.id)
            note(store, study, "quick")
            assert feed.read() == []
            slow.rollback()
        assert [event.subject_id for event in feed.read()] == ["quick"]


@pytest.mark.server
def test_one_that_begins_after_the_look_does_not_hold_back(postgresql_url: str) -> None:
    with Store.open(postgresql_url) as store:
        study = store.studies.create("first", {}, seed=7, plugin_versions={})
        feed = store.events.feed(after=store.events.recent(1)[0].id)
        with store.database.engine.connect() as first, store.database.engine.connect() as second:
            append(first, store.database.now(first), "test.slow", "first", study_id=study.id)
            assert feed.read() == []
            append(second, store.database.now(second), "test.slow", "second", study_id=study.id)
            first.commit()
            assert feed.read() == [], "the frontier was before the first"
            assert feed.read() == [], "the first has an id below the second's, which may not be known yet"
            second.commit()
        assert [event.subject_id for event in [*feed.read(), *feed.read()]] == ["first", "second"]


@pytest.mark.server
def test_a_transaction_of_another_database_or_table_does_not_matter(postgresql_url: str) -> None:
    with Store.open(postgresql_url) as store:
        store.studies.create("first", {}, seed=7, plugin_versions={})
        feed = store.events.feed(after=store.events.recent(1)[0].id)
        with store.database.engine.connect() as other:
            other.execute(text("UPDATE studies SET seed = 8"))
            store.studies.create("second", {}, seed=7, plugin_versions={})
            assert [event.type for event in feed.read()] == ["study.created"]
            other.rollback()


def test_claims_and_results_are_followed(
    store: Store,
    study: StudyRecord,
    proposal: Callable[..., NewProposal],
) -> None:
    feed = store.events.feed(study_id=study.id, types=["evaluation.started", "evaluation.failed"])
    (candidate,) = store.asks.record(study.id, 0, [proposal(0.5)])
    evaluation: EvaluationRecord = candidate.evaluations["search"]
    attempt = store.queue.claim(evaluation.id, "me")
    assert attempt is not None
    assert [event.type for event in feed.read()] == ["evaluation.started"]
    store.results.fail(evaluation.id, attempt, "scores", "bad")
    assert [event.type for event in feed.read()] == ["evaluation.failed"]
