from __future__ import annotations

from collections.abc import Callable

import pytest
from heterosis.core.errors import PluginError, StorageError
from heterosis.core.estimate import Estimate
from heterosis.core.genome import Genome
from heterosis.storage import NewProposal, Responses, Store, StudyRecord
from sqlalchemy import event

Make = Callable[..., NewProposal]


def test_new_candidates_are_numbered_in_the_order_proposed(store: Store, study: StudyRecord, proposal: Make) -> None:
    first = store.asks.record(study.id, 0, [proposal(0.5), proposal(0.25)])
    second = store.asks.record(study.id, 1, [proposal(0.75, "crossover", (1, 0))])
    assert [candidate.number for candidate in first + second] == [0, 1, 2]
    assert [candidate.genome for candidate in first] == [Genome({"weight": 0.5}), Genome({"weight": 0.25})]
    child = second[0]
    assert (child.kind, child.ask_no, child.state, child.label) == ("bred", 1, "proposed", None)
    assert (child.operator, child.parents) == ("crossover", (1, 0))
    assert child.recipe == {"merge": "linear", "weight": 0.75}
    assert child.fingerprint == proposal(0.75).fingerprint


def test_every_new_candidate_is_queued(store: Store, study: StudyRecord, proposal: Make) -> None:
    recorded = store.asks.record(study.id, 0, [proposal(0.5), proposal(0.25)])
    pending = store.queue.pending(study.id)
    assert [evaluation.candidate_id for evaluation in pending] == [candidate.id for candidate in recorded]
    assert [(evaluation.stage, evaluation.state) for evaluation in pending] == [("search", "queued")] * 2
    assert pending[0].eval_key == proposal(0.5).eval_key
    assert recorded[0].evaluations == {"search": pending[0]}


def test_one_recipe_is_one_candidate(store: Store, study: StudyRecord, proposal: Make) -> None:
    store.asks.record(study.id, 0, [proposal(0.5)])
    again = store.asks.record(study.id, 1, [proposal(0.25), proposal(0.5, "mutation", (0,)), proposal(0.25)])
    assert [candidate.number for candidate in again] == [1, 0, 1]
    assert len(store.candidates.all(study.id)) == len(store.queue.pending(study.id)) == 2
    assert again[1].operator == "random", "a candidate's operator is the one that found it first"
    assert again[1].parents == ()


def test_studies_share_no_candidates(store: Store, study: StudyRecord, proposal: Make) -> None:
    other = store.studies.create("second", {}, seed=1, plugin_versions={})
    here = store.asks.record(study.id, 0, [proposal(0.5)])
    there = store.asks.record(other.id, 0, [proposal(0.5)])
    assert here[0].id != there[0].id
    assert here[0].number == there[0].number == 0


def test_recording_an_ask_again_gives_what_was_recorded(store: Store, study: StudyRecord, proposal: Make) -> None:
    first = store.asks.record(study.id, 0, [proposal(0.5), proposal(0.25)])
    assert store.asks.record(study.id, 0, [proposal(0.5), proposal(0.25)]) == first
    assert store.asks.record(study.id, 0, [proposal(0.125)]) == first, "the first to record an ask has won"
    assert len(store.candidates.all(study.id)) == 2


def test_an_unknown_parent_leaves_nothing_behind(store: Store, study: StudyRecord, proposal: Make) -> None:
    with pytest.raises(PluginError, match="candidate 3 as a parent"):
        store.asks.record(study.id, 0, [proposal(0.5), proposal(0.25, "mutation", (3,))])
    assert store.asks.all(study.id) == []
    assert store.candidates.all(study.id) == []
    assert [entry.type for entry in store.events.all(study.id)] == ["study.created"]


def test_asks_replay_in_order(
    store: Store, study: StudyRecord, proposal: Make, answers: Callable[..., Responses]
) -> None:
    store.asks.record(study.id, 0, [proposal(0.5), proposal(0.25)])
    store.asks.record(study.id, 1, [proposal(0.25, "mutation", (1,)), proposal(0.75)])
    evaluation = store.queue.pending(study.id)[1]
    attempt = store.queue.claim(evaluation.id, "me")
    assert attempt == 1
    store.results.finish(evaluation.id, attempt, [answers(1.0)], {"accuracy": Estimate(1.0, 0.0, 1)}, {})
    store.asks.mark_told(study.id, 0, ())
    first, second = store.asks.all(study.id)
    assert (first.number, second.number) == (0, 1)
    assert [candidate.number for candidate in first.candidates + second.candidates] == [0, 1, 1, 2]
    assert second.operators == ("mutation", "random")
    assert second.candidates[0].measurements == {"search": {"accuracy": Estimate(1.0, 0.0, 1)}}
    assert first.told_at is not None
    assert second.told_at is None


def test_an_ask_is_told_once(store: Store, study: StudyRecord, proposal: Make) -> None:
    store.asks.record(study.id, 0, [proposal(0.5)])
    store.asks.mark_told(study.id, 0, ())
    told_at = store.asks.all(study.id)[0].told_at
    store.asks.mark_told(study.id, 0, ())
    assert store.asks.all(study.id)[0].told_at == told_at
    with pytest.raises(StorageError, match="has no ask 5"):
        store.asks.mark_told(study.id, 5, ())


def test_an_unknown_study_is_refused(store: Store, proposal: Make) -> None:
    with pytest.raises(StorageError):
        store.asks.record("nowhere", 0, [proposal(0.5)])


def test_the_number_of_queries_does_not_grow(store: Store, study: StudyRecord, proposal: Make) -> None:
    def queries() -> int:
        statements: list[str] = []

        def note(connection: object, cursor: object, statement: str, *rest: object) -> None:
            statements.append(statement)

        event.listen(store.database.engine, "before_cursor_execute", note)
        store.asks.all(study.id)
        event.remove(store.database.engine, "before_cursor_execute", note)
        return len(statements)

    store.asks.record(study.id, 0, [proposal(0.5)])
    few = queries()
    store.asks.record(study.id, 1, [proposal(place / 64, "mutation", (0,)) for place in range(20)])
    assert queries() == few
