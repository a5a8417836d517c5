"""When the canary is due, and what follows if it disagrees."""

import pytest
from heterosis.core.genome import Genome, content_hash
from heterosis.storage import NewProposal, Responses, Store
from heterosis.storage.records import ItemSet
from heterosis.workers.canary_watch import CanaryWatch, latest_agreeing, reference

SAID = (-10.0, -20.0, -30.0)
ROUNDED = (-10.1, -20.0, -30.1)
WRONG = (-10.0, -25.0, -30.0)


class Fleet:
    """Workers of two studies, with a clock that is set by hand."""

    def __init__(self, store):
        self.store, self.now = store, 0.0
        self.studies = [store.studies.create(name, {}, 1, {}) for name in ("first", "second")]

    def watch(self, owner, **settings):
        worker = self.store.workers.register(owner, "host", 1, "1.0", "processes", ["default"], {"name": "cpu"})
        return worker, CanaryWatch(self.store, worker.id, clock=lambda: self.now, **settings)

    def evaluate(self, study, owner, weight):
        recipe = {"weight": weight}
        proposal = NewProposal(Genome(recipe), recipe, content_hash(recipe), content_hash([recipe, study.id]), "random")
        ask_no = len(self.store.asks.all(study.id))
        evaluation = self.store.asks.record(study.id, ask_no, [proposal])[0].evaluations["search"]
        attempt = self.store.queue.claim(evaluation.id, owner)
        answers = Responses("words", ItemSet("a" * 64, ("q0",)), (1.0,))
        assert self.store.results.finish(evaluation.id, attempt, [answers], {}, {"score": 1.0})
        return evaluation.id

    def states(self, *evaluation_ids):
        return [self.store.queue.get(evaluation_id).state for evaluation_id in evaluation_ids]


@pytest.fixture
def fleet(tmp_path):
    with Store.open(tmp_path / "a.db") as store:
        yield Fleet(store)


def test_it_is_due_at_first_and_now_and_then(fleet):
    first, second = (study.id for study in fleet.studies)
    _, watch = fleet.watch("me", every_evaluations=3, every_seconds=60.0)
    assert watch.is_due(first)
    assert watch.heard(first, SAID, "bfloat16")
    assert not watch.is_due(first)
    assert watch.is_due(second), "each study has its own"
    watch.evaluated(first, 2)
    assert not watch.is_due(first)
    watch.evaluated(first)
    assert watch.is_due(first)
    assert watch.heard(first, SAID, "bfloat16")
    assert not watch.is_due(first)
    fleet.now = 59.0
    assert not watch.is_due(first)
    fleet.now = 60.0
    assert watch.is_due(first)


def test_workers_that_agree_but_for_rounding_go_on(fleet):
    study = fleet.studies[0]
    for owner, values in (("one", SAID), ("two", ROUNDED), ("three", SAID)):
        worker, watch = fleet.watch(owner)
        assert watch.heard(study.id, values, "bfloat16")
        assert fleet.store.workers.get(worker.id).state == "up"
    assert [record.verdict for record in fleet.store.canaries.of(study.id)] == ["agrees"] * 3


def test_one_that_disagrees_is_drifted_and_what_it_found_is_taken_back(fleet):
    first, second = fleet.studies
    _, good = fleet.watch("good")
    worker, bad = fleet.watch("bad")
    for study in fleet.studies:
        assert good.heard(study.id, SAID, "bfloat16")
        assert bad.heard(study.id, SAID, "bfloat16")
    before = fleet.evaluate(first, "bad", 0.1)
    assert bad.heard(first.id, ROUNDED, "bfloat16")
    since, elsewhere = fleet.evaluate(first, "bad", 0.2), fleet.evaluate(second, "bad", 0.1)
    others = fleet.evaluate(first, "good", 0.3)
    assert not bad.heard(first.id, WRONG, "bfloat16")
    found = fleet.store.workers.get(worker.id)
    assert found.state == "drifted"
    assert "off by 0.13 (relative, bfloat16) from what 2 workers said" in found.reason
    assert fleet.states(before, since, elsewhere, others) == ["succeeded", "queued", "queued", "succeeded"]
    assert [record.verdict for record in fleet.store.canaries.of(first.id)][-1] == "drifted"


def test_what_a_drifted_worker_said_is_no_measure_for_others(fleet):
    study = fleet.studies[0]
    assert fleet.watch("one")[1].heard(study.id, SAID, "bfloat16")
    for owner in ("two", "three", "four"):
        assert not fleet.watch(owner)[1].heard(study.id, WRONG, "bfloat16")
    assert fleet.watch("five")[1].heard(study.id, SAID, "bfloat16")


@pytest.mark.parametrize(("first", "then", "agree"), [((), (), True), ((), SAID, False), (SAID, (), False)])
def test_a_canary_that_says_nothing_is_compared_too(first, then, agree, fleet):
    study = fleet.studies[0]
    assert fleet.watch("one")[1].heard(study.id, first, "bfloat16")
    assert fleet.watch("two")[1].heard(study.id, then, "bfloat16") is agree


def test_the_latest_of_each_worker_counts_and_the_median_of_workers(fleet):
    study = fleet.studies[0]
    workers = [fleet.watch(owner)[0] for owner in ("one", "two", "three")]
    for worker, value in zip([*workers, workers[0]], (-9.0, -2.0, -3.0, -1.0), strict=True):
        fleet.store.canaries.record(study.id, worker.id, [value], "agrees")
    fleet.store.canaries.record(study.id, workers[1].id, [-99.0], "drifted")
    known = latest_agreeing(fleet.store.canaries.of(study.id))
    assert sorted(known) == [(-3.0,), (-2.0,), (-1.0,)]
    assert reference(known) == (-2.0,)
    assert reference([]) is None
