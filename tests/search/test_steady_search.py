"""A search in steady state: no worker waits for another, nothing is lost or repeated, and the record is replayed."""

import random

import pytest
from heterosis.core import registry
from heterosis.core.contracts import Executor, Optimizer, Proposal
from heterosis.core.errors import OptimizerError, PluginError
from heterosis.core.estimate import Estimate
from heterosis.core.merge_space import Merge
from heterosis.core.space import Space
from heterosis.core.study_spec import ObjectiveSpec, StudySpec, TaskSpec
from heterosis.search.full_scoring import FullScoring
from heterosis.search.optimizers.random import RandomSearch
from heterosis.search.steady_loop import SteadyLoop
from heterosis.storage import Store, this_process


class Crowd(Executor):
    """Evaluates up to `slots` at a time, which are ready in a random order; a candidate's score is of its genome.

    Attributes:
        begun: ids in the order in which they were begun.
        most: the most that were ever given to it and not given back.
        fails: numbers of candidates that fail.
    """

    def __init__(self, store, slots=4, seed=0):
        self._store = store
        self._slots = slots
        self._order = random.Random(seed)
        self._line, self._busy = [], {}
        self.begun, self.fails, self.most = [], (), 0

    @property
    def slots(self):
        return self._slots

    def submit(self, evaluation_ids):
        self._line.extend(evaluation_ids)
        self._begin()
        self.most = max(self.most, len(self._line) + len(self._busy))

    def wait(self):
        self._begin()
        if not self._busy:
            return []
        evaluation_id = self._order.choice(list(self._busy))
        self._finish(evaluation_id, self._busy.pop(evaluation_id))
        return [evaluation_id]

    def _begin(self):
        while self._line and len(self._busy) < self._slots:
            evaluation_id = self._line.pop(0)
            # a lease that ends at once, as if the process that has it were gone when the search goes on
            self._busy[evaluation_id] = self._store.queue.claim(evaluation_id, this_process(), 0)
            self.begun.append(evaluation_id)

    def _finish(self, evaluation_id, attempt):
        assert attempt is not None, "it was not to be had"
        candidate = self._store.candidates.get(self._store.queue.get(evaluation_id).candidate_id)
        if candidate.number in self.fails:
            self._store.results.fail(evaluation_id, attempt, "weights", "not finite")
            return
        score = int(candidate.genome.hash[:6], 16) / 16**6
        self._store.results.finish(evaluation_id, attempt, [], {"accuracy": Estimate(score, 0.0, 10)}, {})


class Keys:
    """Keys of evaluations that depend on the recipe alone."""

    def key(self, recipe, stage):
        return recipe.hash


class Search:
    """One study, which can be gone on with again and again."""

    def __init__(self, store, spec):
        self.store, self.spec = store, spec
        self.study = store.studies.create(spec.name, {}, spec.seed, {})

    def go_on(self, proposals, executor=None, evaluated=lambda *_: None):
        """Goes on as a new process would, after one that is gone has been taken back from; gives the executor."""
        self.store.queue.reap(self.study.id, counted=False)
        executor = executor or Crowd(self.store)
        scoring = FullScoring(self.spec, self.store, executor, Keys())
        SteadyLoop(self.spec, self.study.id, self.store, scoring, executor).run(proposals, evaluated)
        return executor

    @property
    def asks(self):
        return self.store.asks.all(self.study.id)

    @property
    def course(self):
        """All that was recorded of the search, but for times and ids."""
        return [
            (
                ask.number,
                [candidate.genome for candidate in ask.candidates],
                [candidate.parents for candidate in ask.candidates],
                ask.tells_before,
                ask.tell_no,
                ask.told,
            )
            for ask in self.asks
        ]

    @property
    def attempts(self):
        """How often each candidate was begun to be evaluated."""
        return [one.evaluations["search"].attempt for one in self.store.candidates.all(self.study.id, "bred")]


@pytest.fixture
def search(tmp_path, checkpoints):
    """`search("ga", population=4)`: a search of its own in the test's database."""
    store = Store.open(tmp_path / "a.db")

    def make(optimizer="ga", merge=None, **options):
        space = Space(
            str(checkpoints / "base"),
            [str(checkpoints / name) for name in ("one", "two")],
            merge or Merge("linear", weight=(-1.0, 1.0)),
        )
        tasks = {"words": TaskSpec("multiple_choice", files={"search": "search.jsonl"})}
        objectives = (ObjectiveSpec("accuracy", "maximize", ("words",), "accuracy"),)
        name = f"tiny {len(store.studies.all())}"
        spec = StudySpec(
            name, space, tasks, objectives, optimizer=optimizer, optimizer_options=options, steady_state=True, seed=3
        )
        return Search(store, spec)

    yield make
    store.close()


@pytest.fixture
def few():
    """A space of three genomes."""
    return Merge(["task_arithmetic", "linear", "ties"], weight=1.0, density=0.5)


@pytest.mark.parametrize(("slots", "most"), [(1, 2), (4, 5), (9, 11)])
def test_as_many_are_under_way_as_keep_every_worker_busy(slots, most, search):
    found = search()
    crowd = found.go_on(30, Crowd(found.store, slots))
    assert crowd.most == most
    assert found.attempts == [1] * 30
    assert [len(ask.candidates) for ask in found.asks] == [1] * 30


def test_asks_and_tells_are_recorded_in_their_order(search):
    found = search()
    heard = []
    found.go_on(20, evaluated=heard.append)
    told = sorted(found.asks, key=lambda ask: ask.tell_no)
    assert [ask.tell_no for ask in told] == list(range(20))
    assert [ask.candidates[0].evaluations["search"].id for ask in told] == heard
    assert [ask.tells_before for ask in found.asks] == [max(0, number - 4) for number in range(20)]
    assert [ask.number for ask in told] != list(range(20)), "results came in another order than they were asked for"
    assert all(ask.told[0].values == (ask.candidates[0].measurements["search"]["accuracy"].mean,) for ask in told)


@pytest.mark.parametrize("optimizer", ["ga", "de", "cmaes", "tpe"])
def test_a_search_goes_on_from_what_it_had_learned(optimizer, search):
    found = search(optimizer)
    found.go_on(14)
    before = found.course
    found.go_on(24, Crowd(found.store, seed=9))
    assert found.course[:14] == before
    assert found.attempts == [1] * len(found.attempts)
    assert sorted(ask.tell_no for ask in found.asks) == list(range(24))


def test_a_search_that_is_over_has_nothing_left_to_evaluate(search):
    found = search()
    found.go_on(8)
    before = found.course
    assert found.go_on(8).begun == []
    assert found.course == before


class KilledError(Exception):
    """The process ends here."""


class Trip:
    """Ends the process before or after the n-th call of what is tripped."""

    def __init__(self, at=None, after=False):
        self.at, self.after, self.calls = at, after, 0

    def wire(self, monkeypatch, owner, name):
        called = getattr(owner, name)

        def wired(*args, **kwargs):
            self.calls += 1
            number = self.calls
            if number == self.at and not self.after:
                raise KilledError
            result = called(*args, **kwargs)
            if number == self.at:
                raise KilledError
            return result

        monkeypatch.setattr(owner, name, wired)


def run_tripped(found, trip, crowd, proposals):
    """Whether it was killed; the writes of asks, tells and results, and the handing out of work, are tripped."""
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in [
            (found.store.asks, "record"),
            (found.store.asks, "mark_told"),
            (found.store.results, "finish"),
            (crowd, "submit"),
            (crowd, "wait"),
        ]:
            trip.wire(patch, owner, name)
        try:
            found.go_on(proposals, crowd)
        except KilledError:
            return True
    return False


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_with_one_worker_a_search_that_is_killed_at_any_moment_ends_as_if_it_had_not_been(after, search):
    whole = search(population=3)
    moments = Trip()
    assert not run_tripped(whole, moments, Crowd(whole.store, 1), 6)
    assert moments.calls == 6 * 5
    for moment in range(1, moments.calls + 1):
        found = search(population=3)
        crowd = Crowd(found.store, 1)
        assert run_tripped(found, Trip(moment, after), crowd, 6)
        again = found.go_on(6, Crowd(found.store, 1))
        assert found.course == whole.course, f"killed at moment {moment}"
        finished = [one for one in crowd.begun + again.begun if found.store.queue.get(one).state == "succeeded"]
        assert len(set(finished)) == 6
        assert len(finished) <= 7, "one was under way when it was killed, and no other was begun twice"


@pytest.mark.parametrize("seed", range(6))
def test_with_several_workers_nothing_that_is_over_is_repeated_and_nothing_is_lost(seed, search):
    found = search(population=4)
    begun, killed = [], 0
    over = set()
    for moment in (9, 14, 11, 17, 8, 12):
        crowd = Crowd(found.store, 3, seed)
        killed += run_tripped(found, Trip(moment, bool(seed % 2)), crowd, 24)
        assert not over.intersection(crowd.begun), "what was over is not evaluated again"
        begun += crowd.begun
        over = {one for one in begun if found.store.queue.get(one).state == "succeeded"}
    found.go_on(24)
    assert killed == 6
    assert sorted(ask.tell_no for ask in found.asks) == list(range(24))
    assert all(ask.told is not None for ask in found.asks)
    replayed = found.course
    found.go_on(24)
    assert found.course == replayed


def test_a_candidate_that_is_proposed_again_is_told_at_once(search, few):
    found = search("random", few)
    crowd = found.go_on(30)
    assert 1 < len(crowd.begun) <= 3
    assert found.attempts == [1] * len(crowd.begun)
    assert sorted(ask.tell_no for ask in found.asks) == list(range(30))
    late = found.asks[-1]
    assert (late.tells_before, late.tell_no) == (29, 29)


def test_one_proposed_again_while_it_is_evaluated_is_waited_for(search, few, install_plugin):
    class Same(RandomSearch):
        def _next(self):
            return Proposal(self._box.decode([0.0]), "random")

    install_plugin("optimizers", "same", Same)
    found = search("same", few)
    crowd = found.go_on(9)
    assert len(crowd.begun) == 1
    assert [ask.tell_no for ask in found.asks] == list(range(9))
    assert [ask.tells_before for ask in found.asks] == [0] * 5 + [5, 6, 7, 8]


def test_a_candidate_that_fails_is_told_as_such(search):
    found = search()
    crowd = Crowd(found.store)
    crowd.fails = (2, 5)
    found.go_on(12, crowd)
    assert [ask.number for ask in found.asks if ask.told == (None,)] == [2, 5]
    before = found.course
    found.go_on(14, Crowd(found.store))
    assert found.course[:12] == before


def test_a_result_that_is_taken_back_before_it_is_told_is_waited_for_again(search):
    found = search()

    class Doubted(Crowd):
        """Gives an evaluation back whose result another process takes back at that moment."""

        doubted = False

        def _finish(self, evaluation_id, attempt):
            if self.doubted or len(self.begun) < 6:
                super()._finish(evaluation_id, attempt)
                return
            self.doubted = True
            assert self._store.queue.release(evaluation_id, attempt)

    crowd = found.go_on(10, Doubted(found.store))
    assert len(crowd.begun) == 11
    assert sorted(ask.tell_no for ask in found.asks) == list(range(10))
    assert None not in [told for ask in found.asks for told in ask.told]


def test_an_optimizer_of_whole_generations_is_refused(search, install_plugin):
    class Turns(RandomSearch):
        name = "turns"

        def steady_state(self):
            Optimizer.steady_state(self)

    install_plugin("optimizers", "turns", Turns)
    found = search("turns")
    with pytest.raises(OptimizerError, match="'turns' takes whole generations of results only; choose another"):
        found.go_on(4)
    assert found.asks == []


def test_an_optimizer_that_proposes_otherwise_than_recorded_is_not_followed(search, install_plugin):
    found = search("random")
    found.go_on(6)
    before = found.course

    class Drifted(registry.load("optimizers", "random")):
        def __init__(self, space, directions, seed, **options):
            super().__init__(space, directions, seed + 1, **options)

    install_plugin("optimizers", "random", Drifted)
    with pytest.raises(OptimizerError, match="proposes other genomes in ask 0 than are recorded"):
        found.go_on(9)
    assert found.course == before


def test_an_executor_that_forgets_is_an_error_and_not_an_endless_wait(search):
    class Forgetful(Crowd):
        def submit(self, evaluation_ids):
            pass

    found = search()
    with pytest.raises(PluginError, match="Forgetful gave nothing back although 5 evaluations were submitted"):
        found.go_on(6, Forgetful(found.store))


def test_what_an_executor_still_had_from_before_an_interruption_is_passed_over(search):
    found, other = search(), search()

    class Late(Crowd):
        def wait(self):
            return ["01ARZ3NDEKTSV4RRFFQ69G5FAV", *super().wait()]

    found.go_on(9, Late(found.store))
    other.go_on(9)
    assert found.course == other.course
