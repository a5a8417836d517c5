"""The local executor records what came of each candidate, and hands back what it did not finish."""

import math

import pytest
from heterosis.core.contracts import Objective
from heterosis.core.errors import CheckpointError, EvaluationError, StorageError
from heterosis.core.estimate import Estimate
from heterosis.core.genome import Genome
from heterosis.core.merge_space import Merge
from heterosis.core.recipe import Recipe
from heterosis.core.space import Space
from heterosis.core.study_spec import ObjectiveSpec, StudySpec, TaskSpec
from heterosis.fitness.evaluator import Evaluator
from heterosis.search.eval_keys import EvaluationKeys
from heterosis.storage import NewProposal, Store
from heterosis.workers.local import LocalExecutor

HALF, NOTHING = (0.5, 0.5), (0.5, -0.5)


class Bench:
    """An executor, and studies to give it work of."""

    def __init__(self, store, spec):
        self.store = store
        self.evaluator = Evaluator(spec)
        self.keys = EvaluationKeys(self.evaluator)
        self.executor = LocalExecutor(store, self.evaluator)

    def propose(self, *weights, study="first"):
        """A candidate for each pair of weights."""
        record = self.store.studies.create(study, {}, 1, {})
        return self.store.asks.record(record.id, 0, [self._proposal(*pair) for pair in weights])

    def _proposal(self, one, two):
        genome = Genome({"weight/one": one, "weight/two": two})
        recipe = self.evaluator.spec.space.decode(genome)
        return NewProposal(genome, recipe.to_dict(), recipe.hash, self.keys.key(recipe, "search"), "random")

    def run(self, candidates):
        """The candidates as they are after the executor has had them all."""
        ids = [candidate.evaluations["search"].id for candidate in candidates]
        assert list(self.executor.run(ids)) == ids
        return [self.store.candidates.get(candidate.id) for candidate in candidates]


@pytest.fixture
def bench(tmp_path, checkpoints, choice_items, write_lines):
    write_lines(tmp_path / "search.jsonl", choice_items(8))
    tasks = {"words": TaskSpec("multiple_choice", files={"search": "search.jsonl"})}
    sources = [str(checkpoints / name) for name in ("one", "two")]
    space = Space(str(checkpoints / "base"), sources, Merge("linear", weight=(-1.0, 1.0)))
    objectives = (ObjectiveSpec("accuracy", "maximize", ("words",)),)
    with Store.open(tmp_path / "a.db") as store:
        yield Bench(store, StudySpec("tiny", space, tasks, objectives, folder=tmp_path))


def test_a_success_is_recorded_whole(bench):
    (found,) = bench.run(bench.propose(HALF))
    evaluation = found.evaluations["search"]
    assert (found.state, evaluation.state, evaluation.lease_owner) == ("complete", "succeeded", None)
    expected = Evaluator(bench.evaluator.spec).evaluate(Recipe.from_dict(found.recipe), "search")
    scores = bench.store.results.responses(found.id, "search")["words"].scores
    assert (len(scores), scores) == (8, expected.scores["words"])
    assert found.measurements == {"search": expected.measured}
    assert set(evaluation.seconds) == {"merge", "score"}


def test_weights_that_are_not_finite_fail_the_candidate_and_the_next_is_evaluated(bench):
    lost, found = bench.run(bench.propose(NOTHING, HALF))
    assert lost.state == lost.evaluations["search"].state == "failed"
    assert lost.failure.startswith("weights: ")
    assert "not finite after linear" in lost.failure
    assert found.state == "complete"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (EvaluationError("the scores are odd"), "scores: the scores are odd"),
        (MemoryError("no room"), "memory: no room"),
        (ZeroDivisionError("by nothing"), "plugin: ZeroDivisionError('by nothing')"),
        (RuntimeError("a\0b"), "plugin: RuntimeError('a\\x00b')"),
    ],
)
def test_whatever_fails_one_candidate_is_recorded_with_its_reason(error, reason, bench, monkeypatch):
    candidates = bench.propose(HALF, (0.2, 0.7))
    evaluate, broken = bench.evaluator.evaluate, candidates[0].recipe

    def evaluate_all_but_one(recipe, stage, ids=None):
        if recipe.to_dict() == broken:
            raise error
        return evaluate(recipe, stage, ids)

    monkeypatch.setattr(bench.evaluator, "evaluate", evaluate_all_but_one)
    lost, found = bench.run(candidates)
    assert (lost.state, lost.failure) == ("failed", reason)
    assert found.state == "complete"


def test_an_objective_that_breaks_fails_the_candidate(tmp_path, bench, install_plugin):
    class Lost(Objective):
        name = "lost"

        def measure(self, measured):
            return Estimate(math.nan, 0.0, 1)

    install_plugin("objectives", "accuracy", Lost)
    (lost,) = bench.run(bench.propose(HALF))
    assert lost.failure == "scores: accuracy words is nan"
    assert lost.measurements == {}


@pytest.mark.parametrize("error", [CheckpointError("gone"), StorageError("full"), KeyboardInterrupt(), SystemExit(1)])
def test_what_concerns_all_candidates_is_raised_and_the_evaluation_handed_back(error, bench, monkeypatch):
    def fail(recipe, stage, ids=None):
        raise error

    candidates = bench.propose(HALF)
    monkeypatch.setattr(bench.evaluator, "evaluate", fail)
    with pytest.raises(type(error)):
        bench.run(candidates)
    monkeypatch.undo()
    evaluation = bench.store.candidates.get(candidates[0].id).evaluations["search"]
    assert (evaluation.state, evaluation.lease_owner) == ("queued", None)
    assert evaluation.max_attempts - evaluation.attempt == 3, "the attempt does not count"
    (found,) = bench.run(candidates)
    assert found.state == "complete"


@pytest.mark.parametrize("step", ["claim", "finish"])
def test_an_interruption_at_the_end_of_a_transaction_leaves_nothing_held(step, bench, monkeypatch):
    owner = bench.store.queue if step == "claim" else bench.store.results
    ended = getattr(owner, step)

    def interrupted(*arguments, **named):
        ended(*arguments, **named)
        raise KeyboardInterrupt

    candidates = bench.propose(HALF)
    monkeypatch.setattr(owner, step, interrupted)
    with pytest.raises(KeyboardInterrupt):
        bench.run(candidates)
    monkeypatch.undo()
    state = bench.store.candidates.get(candidates[0].id).evaluations["search"].state
    assert state == ("queued" if step == "claim" else "succeeded")
    (found,) = bench.run(candidates)
    assert found.state == "complete"


def test_equal_work_of_another_study_is_copied_not_asked_again(bench, monkeypatch):
    calls = []
    evaluate = bench.evaluator.evaluate
    monkeypatch.setattr(bench.evaluator, "evaluate", lambda *given: calls.append(given) or evaluate(*given))
    (first,) = bench.run(bench.propose(HALF, study="first"))
    second, other = bench.run(bench.propose(HALF, (0.2, 0.7), study="second"))
    assert len(calls) == 2, "one for each recipe"
    assert second.id != first.id
    assert second.measurements == first.measurements
    copied = bench.store.results.responses(second.id, "search")
    assert copied == bench.store.results.responses(first.id, "search")
    assert second.evaluations["search"].seconds == {}
    assert other.state == "complete"


def test_what_is_over_is_not_run_again(bench, monkeypatch):
    candidates = bench.propose(HALF, NOTHING)
    before = bench.run(candidates)
    monkeypatch.setattr(bench.evaluator, "evaluate", None)
    assert bench.run(candidates) == before


def test_what_another_process_holds_is_left_to_it(bench):
    candidates = bench.propose(HALF)
    evaluation_id = candidates[0].evaluations["search"].id
    bench.store.queue.claim(evaluation_id, "elsewhere:1:2:3")
    with pytest.raises(StorageError, match="another process \\(elsewhere:1:2:3\\) is evaluating this study"):
        bench.run(candidates)
    assert bench.store.queue.get(evaluation_id).lease_owner == "elsewhere:1:2:3"
