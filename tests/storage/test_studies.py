from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from heterosis.core.errors import ConfigurationError, StorageError
from heterosis.core.genome import content_hash
from heterosis.storage import Store, StudyRecord


def test_a_study_reads_back_as_it_was_created(store: Store) -> None:
    spec = {"sources": {"z": 1.5, "a": 0.1}, "seed": 7}
    created = store.studies.create("maths", spec, seed=7, plugin_versions={"ties": "0.1"})
    found = store.studies.get("maths")
    assert found == created == store.studies.with_id(created.id)
    assert (found.spec, found.spec_sha256) == (spec, content_hash(spec))
    assert list(found.spec["sources"]) == ["z", "a"], "the order of a user's keys is kept"
    assert (found.seed, found.state, found.plugin_versions) == (7, "created", {"ties": "0.1"})
    assert found.created_at.tzinfo is UTC
    assert abs(datetime.now(UTC) - found.created_at) < timedelta(minutes=1)


def test_a_name_is_taken_once(store: Store, study: StudyRecord) -> None:
    with pytest.raises(ConfigurationError, match=r"'first' is already .* resume it, or give another name"):
        store.studies.create("first", {}, seed=1, plugin_versions={})
    assert len(store.studies.all()) == 1


def test_an_unknown_name_is_answered_with_the_nearest(store: Store, study: StudyRecord) -> None:
    with pytest.raises(ConfigurationError, match=r"no study 'frist' .* Did you mean 'first'"):
        store.studies.get("frist")
    with pytest.raises(StorageError, match="no study with id nowhere"):
        store.studies.with_id("nowhere")


def test_studies_are_listed_oldest_first(store: Store) -> None:
    for name in ("c", "a", "b"):
        store.studies.create(name, {}, seed=1, plugin_versions={})
    assert [study.name for study in store.studies.all()] == ["c", "a", "b"]


def test_the_state_changes_and_is_dated(store: Store, study: StudyRecord) -> None:
    store.studies.set_state(study.id, "running")
    found = store.studies.get("first")
    assert found.state == "running"
    assert found.updated_at > study.updated_at
    with pytest.raises(StorageError, match="no study with id"):
        store.studies.set_state("nowhere", "running")


def test_a_budget_is_raised_and_nothing_else_changes(store: Store) -> None:
    study = store.studies.create("maths", {"z": 1, "candidates": 40, "a": 2}, seed=7, plugin_versions={})
    found = store.studies.set_candidates(study.id, 200)
    assert found == store.studies.get("maths")
    assert (dict(found.spec), list(found.spec)) == ({"z": 1, "candidates": 200, "a": 2}, ["z", "candidates", "a"])
    assert found.spec_sha256 == content_hash(found.spec)
    assert found.updated_at > study.updated_at
    assert store.studies.set_candidates(study.id, 200) == found, "the same again changes nothing"
    with pytest.raises(StorageError, match="no study with id nowhere"):
        store.studies.set_candidates("nowhere", 1)


def test_an_unknown_state_is_refused(store: Store, study: StudyRecord) -> None:
    with pytest.raises(StorageError, match="ck_studies_state"):
        store.studies.set_state(study.id, "asleep")  # type: ignore[arg-type]
    assert store.studies.get("first").state == "created"


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_spec_has_finite_numbers_only(store: Store, number: float) -> None:
    with pytest.raises(ConfigurationError, match="'bad' cannot be recorded"):
        store.studies.create("bad", {"low": number}, seed=1, plugin_versions={})
    assert store.studies.all() == []


def test_the_largest_seeds_fit(store: Store) -> None:
    for seed in (-(2**63), 2**63 - 1):
        assert store.studies.create(str(seed), {}, seed=seed, plugin_versions={}).seed == seed


def test_source_checkpoints_are_remembered_and_may_not_change(store: Store, study: StudyRecord) -> None:
    store.studies.record_models(study.id, {"base": "a" * 64})
    store.studies.record_models(study.id, {"base": "a" * 64, "expert": "b" * 64})
    with pytest.raises(ConfigurationError, match="'expert' has changed since the study began"):
        store.studies.record_models(study.id, {"new": "d" * 64, "expert": "c" * 64})
    assert store.studies.models(study.id) == {"base": "a" * 64, "expert": "b" * 64}
