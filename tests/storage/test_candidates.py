from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from heterosis.core.errors import ConfigurationError, StorageError
from heterosis.core.estimate import Estimate
from heterosis.storage import NewProposal, Responses, Store, StudyRecord

Make = Callable[..., NewProposal]


def test_references_have_labels_and_no_numbers(store: Store, study: StudyRecord) -> None:
    base = store.candidates.add_reference(study.id, "base", {"model": "base"}, "a" * 64)
    assert (base.kind, base.label, base.number, base.genome) == ("reference", "base", None, None)
    assert (base.recipe, base.fingerprint, base.state) == ({"model": "base"}, "a" * 64, "proposed")
    assert store.candidates.get(base.id) == base


def test_adding_a_reference_again_changes_nothing(store: Store, study: StudyRecord) -> None:
    base = store.candidates.add_reference(study.id, "base", {"model": "base"}, "a" * 64)
    assert store.candidates.add_reference(study.id, "base", {"model": "base"}, "a" * 64) == base
    assert store.candidates.all(study.id) == [base]


def test_a_reference_may_not_become_another(store: Store, study: StudyRecord) -> None:
    store.candidates.add_reference(study.id, "base", {"model": "base"}, "a" * 64)
    with pytest.raises(ConfigurationError, match="'base' was recorded with another recipe"):
        store.candidates.add_reference(study.id, "base", {"model": "other"}, "b" * 64)


@pytest.mark.parametrize("bred_first", [True, False])
def test_a_reference_may_equal_a_bred_candidate(
    store: Store, study: StudyRecord, proposal: Make, bred_first: bool
) -> None:
    average = proposal(0.5)
    if bred_first:
        store.asks.record(study.id, 0, [average])
    store.candidates.add_reference(study.id, "uniform average", average.recipe, average.fingerprint)
    store.candidates.add_reference(study.id, "expert", average.recipe, average.fingerprint)
    if not bred_first:
        store.asks.record(study.id, 0, [average])
    assert [(one.label, one.number) for one in store.candidates.all(study.id)] == [
        ("uniform average", None),
        ("expert", None),
        (None, 0),
    ]
    assert [one.label for one in store.candidates.all(study.id, "reference")] == ["uniform average", "expert"]
    assert [one.number for one in store.candidates.all(study.id, "bred")] == [0]


def test_candidates_come_with_their_results(
    store: Store, study: StudyRecord, proposal: Make, answers: Callable[..., Responses]
) -> None:
    done, _ = store.asks.record(study.id, 0, [proposal(0.5), proposal(0.25)])
    store.queue.ensure(done.id, "test", "e" * 64)
    for evaluation in [one for one in store.queue.pending(study.id) if one.candidate_id == done.id]:
        attempt = store.queue.claim(evaluation.id, "me")
        assert attempt is not None
        measured = {"accuracy": Estimate(0.5, math.nan, 1), "bytes": Estimate(1e11, 0.0, 1)}
        assert store.results.finish(evaluation.id, attempt, [answers(0.5)], measured, {"build": 1.5})
    first, second = store.candidates.all(study.id)
    assert first.measurements.keys() == first.evaluations.keys() == {"search", "test"}
    assert first.evaluations["test"].seconds == {"build": 1.5}
    assert first.measurements["test"]["bytes"] == Estimate(1e11, 0.0, 1)
    assert math.isnan(first.measurements["test"]["accuracy"].standard_error), "unknown stays unknown"
    assert second.measurements == {}


def test_lineage_goes_both_ways(store: Store, study: StudyRecord, proposal: Make) -> None:
    store.asks.record(study.id, 0, [proposal(0.5), proposal(0.25)])
    store.asks.record(study.id, 1, [proposal(0.75, "crossover", (1, 0)), proposal(0.125, "mutation", (1,))])
    grandmother, mother, child, other = store.candidates.all(study.id)
    assert [(one.number, one.operator) for one in store.candidates.lineage(child.id).parents] == [
        (1, "crossover"),
        (0, "crossover"),
    ]
    children = store.candidates.lineage(mother.id).children
    assert [(one.candidate_id, one.operator) for one in children] == [(child.id, "crossover"), (other.id, "mutation")]
    assert store.candidates.lineage(grandmother.id).parents == ()


def test_a_parent_may_count_twice(store: Store, study: StudyRecord, proposal: Make) -> None:
    store.asks.record(study.id, 0, [proposal(0.5)])
    (child,) = store.asks.record(study.id, 1, [proposal(0.25, "crossover", (0, 0))])
    parent = store.candidates.all(study.id)[0]
    assert child.parents == (0, 0)
    assert [one.number for one in store.candidates.lineage(parent.id).children] == [1]


def test_an_unknown_candidate_is_refused(store: Store) -> None:
    with pytest.raises(StorageError, match="no candidate with id nowhere"):
        store.candidates.get("nowhere")
