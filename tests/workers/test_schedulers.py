"""Schedulers give the work to the worker that should have it, and never leave it for ever."""

import math
from dataclasses import replace

import numpy as np
import pytest
from heterosis.core import registry
from heterosis.core.contracts import Scheduler, Standing, Work
from heterosis.core.errors import ConfigurationError, PluginError
from heterosis.testing.schedulers import Scene, Subject, check_scheduler, drain
from heterosis.workers.schedulers.by_name import make
from heterosis.workers.schedulers.cost_aware import CostAware
from heterosis.workers.schedulers.first_come import FirstCome
from heterosis.workers.schedulers.losses import GUESSED_PER_HOUR, Record, losses_per_hour
from heterosis.workers.schedulers.reliability_aware import ReliabilityAware
from hypothesis import given
from hypothesis import strategies as st

HOUR = 3600.0
BUILT_IN = (FirstCome, CostAware, ReliabilityAware)

CHEAP = Standing("cheap", "RTX 4090", memory_bytes=24, speed=1.0, price_per_hour=0.3)
DEAR = Standing("dear", "H100", memory_bytes=80, speed=4.0, price_per_hour=3.0)
STEADY = Standing("steady", speed=1.0, losses_per_hour=0.01)
VOLATILE = Standing("volatile", speed=1.0, losses_per_hour=1.0)


def work(name, seconds=600.0, **facts):
    return Work(name, facts.pop("study_id", "study"), seconds, **facts)


def taken(scheduler, worker, waiting, fleet=None):
    choice = scheduler.choose(worker, waiting, fleet or [worker])
    return choice and choice.id


@pytest.mark.parametrize("name", registry.names("schedulers"))
def test_every_installed_scheduler_keeps_the_contract(name):
    check_scheduler(name)


@pytest.mark.parametrize("options", [{"patience_seconds": 0}, {"affinity_seconds": 0}, {"affinity_seconds": 1e9}])
@pytest.mark.parametrize("name", ["cost_aware", "reliability_aware"])
def test_it_is_kept_with_any_patience_and_affinity(name, options):
    check_scheduler(name, **options)


class TestFirstCome:
    def test_the_highest_priority_goes_first_then_what_has_waited_longest(self):
        waiting = [
            work("new", waited_seconds=1),
            work("old", waited_seconds=100),
            work("urgent", priority=2),
            work("slack", priority=-1, waited_seconds=1e6),
        ]
        order = []
        while waiting:
            order.append(taken(FirstCome(), STEADY, waiting))
            waiting = [one for one in waiting if one.id != order[-1]]
        assert order == ["urgent", "old", "new", "slack"]

    def test_of_about_equal_ones_a_worker_gets_what_it_is_warm_for(self):
        cold = work("cold", waited_seconds=100)
        near = work("near", waited_seconds=90, near=0.9)
        loaded = work("loaded", waited_seconds=80, loaded=True)
        assert taken(FirstCome(), STEADY, [cold, near]) == "near"
        assert taken(FirstCome(), STEADY, [cold, near, loaded]) == "loaded"

    def test_nobody_is_overtaken_by_what_came_much_later_or_matters_less(self):
        cold = work("cold", waited_seconds=100)
        assert (
            taken(FirstCome(affinity_seconds=30), STEADY, [cold, work("a", waited_seconds=69, loaded=True)]) == "cold"
        )
        lesser = work("b", waited_seconds=1e4, priority=-1, loaded=True)
        assert taken(FirstCome(), STEADY, [cold, lesser]) == "cold"

    def test_what_does_not_fit_is_passed_over(self):
        big = work("big", need_bytes=25, priority=9)
        assert taken(FirstCome(), CHEAP, [big, work("small", need_bytes=24)]) == "small"
        assert taken(FirstCome(), CHEAP, [big]) is None


class TestCostAware:
    def test_the_cheapest_device_in_time_gets_it(self):
        easy = work("easy", deadline_seconds=HOUR)
        assert taken(CostAware(), DEAR, [easy], [CHEAP, DEAR]) is None
        assert taken(CostAware(), CHEAP, [easy], [CHEAP, DEAR]) == "easy"

    def test_a_tight_deadline_is_worth_the_dear_device(self):
        tight = work("tight", deadline_seconds=400)
        assert taken(CostAware(), CHEAP, [tight], [CHEAP, DEAR]) is None
        assert taken(CostAware(), DEAR, [tight], [CHEAP, DEAR]) == "tight"

    def test_so_is_memory(self):
        big = work("big", need_bytes=40)
        assert taken(CostAware(), DEAR, [big], [CHEAP, DEAR]) == "big"

    def test_the_cheap_device_is_filled_up_to_the_deadline_and_no_further(self):
        waiting = [work(f"{number}", deadline_seconds=3000) for number in range(5)]
        assert taken(CostAware(), DEAR, waiting[:2], [CHEAP, DEAR]) is None
        assert taken(CostAware(), DEAR, waiting, [CHEAP, DEAR]) == "2"
        busy = replace(CHEAP, busy_seconds_left=1000)
        assert taken(CostAware(), DEAR, waiting[:1], [busy, DEAR]) == "0"

    def test_without_a_deadline_it_waits_for_the_cheap_device_as_long_as_it_has_patience(self):
        busy = replace(CHEAP, busy_seconds_left=600)
        for waited, expected in ((0, None), (1100, None), (1300, "a"), (5000, "a")):
            scheduler = CostAware(patience_seconds=1800)
            assert taken(scheduler, DEAR, [work("a", waited_seconds=waited)], [busy, DEAR]) == expected

    def test_what_cannot_be_in_time_goes_to_whoever_ends_first(self):
        late = work("late", deadline_seconds=10)
        assert taken(CostAware(), CHEAP, [late], [CHEAP, DEAR]) is None
        assert taken(CostAware(), DEAR, [late], [CHEAP, DEAR]) == "late"
        assert taken(CostAware(), CHEAP, [late], [CHEAP, replace(DEAR, busy_seconds_left=HOUR)]) == "late"

    def test_what_is_overdue_goes_to_anybody(self):
        overdue = work("overdue", deadline_seconds=-1)
        assert taken(CostAware(), CHEAP, [overdue], [CHEAP, DEAR]) == "overdue"
        assert taken(CostAware(), DEAR, [overdue], [CHEAP, DEAR]) == "overdue"


class TestReliabilityAware:
    def test_volatile_workers_get_short_work_and_reliable_ones_long_work(self):
        waiting = [work("long", HOUR, waited_seconds=5), work("short", 60)]
        assert taken(ReliabilityAware(), VOLATILE, waiting, [STEADY, VOLATILE]) == "short"
        assert taken(ReliabilityAware(), STEADY, waiting, [STEADY, VOLATILE]) == "long"

    @pytest.mark.parametrize("facts", [{"priority": 1}, {"attempts_lost": 1}])
    def test_what_matters_and_what_was_lost_before_waits_for_a_reliable_worker(self, facts):
        busy = replace(STEADY, busy_seconds_left=200)
        assert taken(ReliabilityAware(), VOLATILE, [work("usual", 300)], [busy, VOLATILE]) == "usual"
        assert taken(ReliabilityAware(), VOLATILE, [work("special", 300, **facts)], [busy, VOLATILE]) is None
        assert taken(ReliabilityAware(), STEADY, [work("special", 300, **facts)], [STEADY, VOLATILE]) == "special"

    def test_but_not_beyond_its_deadline(self):
        busy = replace(STEADY, busy_seconds_left=200)
        special = work("special", 300, priority=1, deadline_seconds=400)
        assert taken(ReliabilityAware(), VOLATILE, [special], [busy, VOLATILE]) == "special"

    def test_short_work_is_left_to_the_volatile(self):
        assert taken(ReliabilityAware(), STEADY, [work("short", 60)], [STEADY, VOLATILE]) is None
        assert taken(ReliabilityAware(), VOLATILE, [work("short", 60)], [STEADY, VOLATILE]) == "short"

    def test_a_device_that_is_too_slow_for_the_deadline_does_not_get_it(self):
        quick = replace(STEADY, id="quick", speed=10.0, busy_seconds_left=100)
        late = work("a", HOUR, deadline_seconds=1000)
        assert taken(ReliabilityAware(), STEADY, [late], [STEADY, quick]) is None

    def test_where_nothing_reliable_is_alive_anybody_takes_it(self):
        waiting = [work("long", 3 * HOUR, priority=5, attempts_lost=2)]
        assert taken(ReliabilityAware(), VOLATILE, waiting, [VOLATILE, replace(VOLATILE, id="x")]) == "long"

    def test_the_demands_are_options(self):
        waiting = [work("usual", 900)]
        busy = replace(STEADY, busy_seconds_left=1)
        assert taken(ReliabilityAware(), VOLATILE, waiting, [busy, VOLATILE]) is None
        assert taken(ReliabilityAware(survival=0.5), VOLATILE, waiting, [busy, VOLATILE]) == "usual"


@pytest.mark.parametrize("scheduler", [CostAware, ReliabilityAware])
def test_among_those_that_are_due_about_the_same_time_the_warm_one_goes_first(scheduler):
    def first(**facts):
        return taken(scheduler(affinity_seconds=30), STEADY, [work("cold", waited_seconds=100), work("warm", **facts)])

    assert first(waited_seconds=75, loaded=True) == "warm"
    assert first(waited_seconds=65, loaded=True) == "cold"
    assert first(waited_seconds=75, loaded=True, priority=-1) == "cold"


@pytest.mark.parametrize("scheduler", [CostAware, ReliabilityAware])
def test_foresight_that_errs_costs_patience_and_no_more(scheduler):
    """The better worker is always about to be free, and never is: it was lost, or became slow."""
    better = replace(STEADY, id="better", speed=9.0, price_per_hour=0.01, busy_seconds_left=1.0)
    worse = replace(VOLATILE, price_per_hour=5.0)
    long = work("long", HOUR)
    assert taken(scheduler(patience_seconds=900), worse, [long], [better, worse]) is None
    waited = replace(long, waited_seconds=900)
    assert taken(scheduler(patience_seconds=900), worse, [waited], [better, worse]) == "long"


works = st.builds(
    Work,
    id=st.uuids().map(str),
    study_id=st.sampled_from("ab"),
    seconds=st.floats(1.0, 1e5),
    priority=st.integers(-2, 2),
    need_bytes=st.integers(0, 80),
    waited_seconds=st.floats(0.0, 1e5),
    attempts_lost=st.integers(0, 2),
    near=st.floats(0.0, 1.0),
    loaded=st.booleans(),
    deadline_seconds=st.none() | st.floats(-1e4, 1e5),
)
workers = st.builds(
    Standing,
    id=st.uuids().map(str),
    device_type=st.sampled_from("xy"),
    memory_bytes=st.sampled_from([12, 24, 80]),
    speed=st.sampled_from([0.1, 1.0, 10.0]) | st.floats(0.05, 20.0),
    price_per_hour=st.sampled_from([0.0, 1.0]) | st.floats(0.0, 10.0),
    losses_per_hour=st.sampled_from([0.0, 0.5]) | st.floats(0.0, 50.0),
    busy_seconds_left=st.just(0.0) | st.floats(0.0, 1e5),
)


def scenes(worker):
    waiting = st.lists(works, min_size=1, max_size=8).map(tuple)
    return st.builds(Scene, waiting, st.lists(worker, min_size=1, max_size=6).map(tuple))


@given(scenes(workers.map(lambda worker: replace(worker, busy_seconds_left=0.0))), st.sampled_from(BUILT_IN))
def test_when_all_are_free_the_first_work_that_fits_anybody_is_accepted(scene, scheduler):
    choices = [scheduler().choose(worker, scene.waiting, scene.fleet) for worker in scene.fleet]
    fitting = any(worker.holds(one) for worker in scene.fleet for one in scene.waiting)
    assert any(choices) == fitting
    assert all(worker.holds(one) for worker, one in zip(scene.fleet, choices, strict=True) if one)


@given(scenes(workers), st.sampled_from(BUILT_IN), st.integers(0, 99))
def test_all_that_fits_is_done_whoever_asks_first(scene, scheduler, seed):
    done = drain(Subject(scheduler, {}), scene, np.random.default_rng(seed))
    assert sorted(done) == sorted(w.id for w in scene.waiting if any(one.holds(w) for one in scene.fleet))


@given(scenes(workers), st.sampled_from(BUILT_IN))
def test_one_who_is_alone_takes_the_most_important_that_fits(scene, scheduler):
    worker = scene.fleet[0]
    fitting = [one.priority for one in scene.waiting if worker.holds(one)]
    choice = scheduler().choose(worker, scene.waiting, [worker])
    assert (choice and choice.priority) == max(fitting, default=None)


class TestOptions:
    @pytest.mark.parametrize(
        ("name", "options", "says"),
        [
            ("first_come", {"affinity_seconds": -1}, "affinity_seconds.*-1"),
            ("first_come", {"patience_seconds": 3}, "no option 'patience_seconds'"),
            ("cost_aware", {"patience_seconds": math.nan}, "patience_seconds.*nan"),
            ("cost_aware", {"pateince_seconds": 3}, "Did you mean 'patience_seconds'"),
            ("reliability_aware", {"survival": 1.0}, "survival.*1.0"),
            ("reliability_aware", {"important_survival": "high"}, "important_survival.*'high'"),
            ("reliability_aware", {"important": 1.5}, "important.*1.5"),
            ("reliability_aware", {"replacement_seconds": None}, "replacement_seconds.*None"),
        ],
    )
    def test_a_bad_one_is_refused(self, name, options, says):
        with pytest.raises(ConfigurationError, match=says):
            make(name, options)

    def test_first_come_is_the_default(self):
        assert isinstance(make(), FirstCome)
        assert make("first_come", {"affinity_seconds": 5}).affinity_seconds == 5

    def test_an_unknown_scheduler_is_refused(self):
        with pytest.raises(PluginError, match="cost_aware"):
            make("cost_awrae")


class TestLosses:
    def test_of_the_unknown_a_guess_is_made(self):
        assert losses_per_hour(Record(), Record()) == pytest.approx(GUESSED_PER_HOUR)

    def test_a_long_record_counts_for_itself(self):
        assert losses_per_hour(Record(500, 1000), Record(0, 1e6)) == pytest.approx(0.5, rel=0.05)
        assert losses_per_hour(Record(), Record(500, 1000)) == pytest.approx(0.5, rel=0.05)

    @given(st.integers(0, 50), st.floats(0, 1e4), st.integers(0, 50), st.floats(0, 1e4))
    def test_more_losses_are_worse_and_more_hours_better(self, losses, hours, type_losses, type_hours):
        of_type = Record(type_losses, type_hours)
        rate = losses_per_hour(Record(losses, hours), of_type)
        assert 0 < rate < losses_per_hour(Record(losses + 1, hours), of_type)
        assert losses_per_hour(Record(losses, hours + 1), of_type) < rate


class Lazy(FirstCome):
    def choose(self, worker, waiting, fleet):
        return super().choose(worker, waiting, fleet) if len(fleet) == 1 or len(waiting) > 1 else None


class Greedy(FirstCome):
    def choose(self, worker, waiting, fleet):
        return max(waiting, key=lambda one: one.need_bytes, default=None)


class Moody(FirstCome):
    def __init__(self):
        super().__init__()
        self.asked = 0

    def choose(self, worker, waiting, fleet):
        self.asked += 1
        fitting = sorted((one for one in waiting if worker.holds(one)), key=lambda one: one.id)
        return fitting[self.asked % len(fitting)] if fitting else None


class ByPlace(FirstCome):
    def choose(self, worker, waiting, fleet):
        return next((one for one in waiting if worker.holds(one)), None)


class Obscure(FirstCome):
    def __init__(self, window=3):
        super().__init__(affinity_seconds=window)


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (Lazy, "none of them accepts"),
        (Greedy, "does not fit"),
        (Moody, "asked before"),
        (ByPlace, "order"),
        (Obscure, "keyword-only"),
        (Scheduler, "lacks choose"),
    ],
)
def test_the_check_finds_a_broken_one(broken, says):
    with pytest.raises(AssertionError, match=says):
        check_scheduler(broken)
