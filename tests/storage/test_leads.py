from __future__ import annotations

import pytest
from heterosis.core.errors import StorageError
from heterosis.storage import Store, StudyRecord


def never(_owner: str) -> bool:
    return False


def test_one_process_leads_at_a_time(store: Store, study: StudyRecord) -> None:
    assert store.leads.acquire(study.id, "here", dead=never) == 1
    with pytest.raises(StorageError, match=r"another process leads this study \(here\).*its lease ends by itself in"):
        store.leads.acquire(study.id, "there", dead=never)


def test_a_leader_that_has_ended_is_followed_at_once(store: Store, study: StudyRecord) -> None:
    store.leads.acquire(study.id, "here", dead=never)
    assert store.leads.acquire(study.id, "there", dead=lambda owner: owner == "here") == 2


def test_a_leader_that_is_silent_is_followed_when_its_lease_ends(store: Store, study: StudyRecord) -> None:
    store.leads.acquire(study.id, "here", seconds=0.0, dead=never)
    assert store.leads.acquire(study.id, "there", dead=never) == 2


def test_who_lets_go_is_followed_at_once(store: Store, study: StudyRecord) -> None:
    first = store.leads.acquire(study.id, "here", dead=never)
    store.leads.release(study.id, first)
    second = store.leads.acquire(study.id, "there", dead=never)
    store.leads.release(study.id, first)  # late, and no longer its own
    with pytest.raises(StorageError, match="another process leads"):
        store.leads.acquire(study.id, "elsewhere", dead=never)
    assert second == 2


def test_only_the_latest_leader_renews(store: Store, study: StudyRecord) -> None:
    first = store.leads.acquire(study.id, "here", seconds=0.0, dead=never)
    second = store.leads.acquire(study.id, "there", dead=never)
    assert not store.leads.renew(study.id, first)
    assert store.leads.renew(study.id, second)


def test_a_former_leader_writes_nothing(store: Store, study: StudyRecord) -> None:
    first = store.led(study.id, store.leads.acquire(study.id, "here", seconds=0.0, dead=never))
    first.studies.set_state(study.id, "running")
    second = store.led(study.id, store.leads.acquire(study.id, "there", dead=never))
    with pytest.raises(StorageError, match="another process leads this study since"):
        first.studies.set_state(study.id, "failed")
    assert first.studies.get(study.name).state == "running"
    second.studies.set_state(study.id, "complete")
    assert store.studies.get(study.name).state == "complete"


def test_a_led_store_leaves_the_connections_open(store: Store, study: StudyRecord) -> None:
    store.led(study.id, store.leads.acquire(study.id, "here", dead=never)).close()
    assert store.studies.get(study.name) == study
