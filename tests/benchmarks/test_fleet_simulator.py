"""The simulated fleet keeps the queue's rules, spends no time twice, and is the same for the same seed."""

import pytest
from heterosis.core import registry
from heterosis.workers.schedulers.by_name import make
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.fleet_clock import Clock
from benchmarks.fleet_devices import KINDS, Host, mixed_fleet, single_kind_fleet, spread_fleet, total_speed
from benchmarks.fleet_feeding import Arrivals, Generations, SteadyState
from benchmarks.fleet_link import Link
from benchmarks.fleet_measures import busy_share, cost, in_time_share, lower_end, mean_and_error
from benchmarks.fleet_simulator import Conditions, Simulation
from benchmarks.fleet_workload import SMALL_SIZES, Evaluation, Workload

SCHEDULERS = registry.names("schedulers")
HOUR = 3600.0


def workload(seed=0, **changes):
    settings = {"median_seconds": 600.0, "spread": 0.7, "slack": (0.5, 3.0), "studies": 2, **changes}
    return Workload(seed, **settings)


def arrivals(scheduler="first_come", hosts=12, churn=0.5, seed=0, hours=1.5, load=0.9):
    fleet = mixed_fleet(hosts, churn, seed)
    evaluations = workload(seed).arrivals(load * total_speed(fleet), hours)
    simulation = Simulation(fleet, make(scheduler), Arrivals(evaluations), Conditions())
    simulation.run(hours + 2.0)
    return simulation


def one_evaluation(seconds=600.0):
    return Evaluation("one", "study", expected_seconds=seconds, seconds=seconds, need_bytes=0)


class TestClock:
    def test_things_happen_in_order_and_those_at_once_as_asked_for(self):
        clock, happened = Clock(), []
        for name, after in (("c", 3.0), ("a", 1.0), ("b", 1.0), ("never", 9.0)):
            clock.after(after, lambda name=name: happened.append((name, clock.now)))
        clock.run(5.0)
        assert happened == [("a", 1.0), ("b", 1.0), ("c", 3.0)]
        assert clock.now == 5.0


class TestLink:
    def ends(self, transfers, capacity=100.0, most=60.0):
        """When each of (begin, bytes) ends."""
        clock, found = Clock(), {}
        link = Link(clock, capacity, most)
        for place, (begin, size) in enumerate(transfers):
            then = lambda place=place: found.__setitem__(place, clock.now)  # noqa: E731
            clock.after(begin, lambda size=size, then=then: link.fetch(size, then))
        clock.run(1e9)
        return [found[place] for place in range(len(transfers))]

    def test_one_alone_is_as_fast_as_its_host(self):
        assert self.ends([(0.0, 600.0)]) == pytest.approx([10.0])

    def test_two_share_and_the_one_that_is_left_speeds_up(self):
        assert self.ends([(0.0, 500.0), (0.0, 800.0)]) == pytest.approx([10.0, 15.0])

    def test_one_that_comes_later_slows_the_first_down(self):
        assert self.ends([(0.0, 600.0), (5.0, 300.0)]) == pytest.approx([11.0, 11.0])

    @given(st.lists(st.tuples(st.floats(0, 100), st.floats(1, 1e4)), min_size=1, max_size=8))
    def test_no_byte_comes_faster_than_the_link_or_the_host_allows_nor_much_later(self, transfers):
        ends = self.ends(transfers)
        for (begin, size), end in zip(transfers, ends, strict=True):
            assert end - begin >= size / 60.0 - 1e-6
        total = sum(size for _, size in transfers)
        first, last = min(begin for begin, _ in transfers), max(begin for begin, _ in transfers)
        assert max(ends) - first >= total / 100.0 - 1e-6
        assert max(ends) <= last + total / 60.0 + 1e-6


class TestRules:
    @pytest.mark.parametrize("scheduler", SCHEDULERS)
    @pytest.mark.parametrize("seed", [0, 1])
    def test_at_most_three_attempts_and_over_once(self, scheduler, seed):
        simulation = arrivals(scheduler, churn=3.0, seed=seed)
        assert simulation.lost_attempts > 5
        assert len({one.id for one in simulation.evaluations}) == len(simulation.evaluations)
        for one in simulation.evaluations:
            assert one.attempts <= 3
            assert not (one.failed and one.done_at is not None)
            assert not one.failed or one.lost == one.attempts == 3
            assert one.done_at is None or one.attempts == one.lost + 1
        claimed = {worker.work.id for worker in simulation.known.values() if worker.work is not None}
        waiting = set(simulation.waiting)
        assert not claimed & waiting
        left = {one.id for one in simulation.evaluations if not one.over}
        assert left - claimed <= waiting | {one.id for one in simulation.evaluations if one.attempts == 0}

    @pytest.mark.parametrize("scheduler", SCHEDULERS)
    def test_time_is_spent_once(self, scheduler):
        simulation = arrivals(scheduler)
        for worker in simulation.workers:
            alive = min(worker.lifetime, simulation.clock.now - worker.joined_at)
            assert 0 <= worker.busy_seconds <= worker.held_seconds + 1e-6
            assert worker.held_seconds <= alive + 1e-6
        assert 0 < busy_share(simulation) < 1
        assert cost(simulation) > 0

    @pytest.mark.parametrize("scheduler", SCHEDULERS)
    def test_where_nobody_is_lost_everything_is_done_at_the_first_attempt(self, scheduler):
        simulation = arrivals(scheduler, churn=0.0, load=0.3)
        assert simulation.lost_attempts == 0
        assert all(one.done_at is not None and one.attempts == 1 for one in simulation.evaluations)
        assert len(simulation.workers) == 12

    def test_what_does_not_fit_anywhere_waits(self):
        evaluations = workload(sizes=((1.0, 40.0, 70.0),)).arrivals(10.0, 1.0)
        small = single_kind_fleet(KINDS[0], 10.0, 0.0, 0)
        simulation = Simulation(small, make(), Arrivals(evaluations), Conditions())
        simulation.run(2.0)
        assert set(simulation.waiting) == {one.id for one in evaluations}

    def test_a_loss_is_found_out_when_the_lease_ends(self):
        fragile = Host(0, KINDS[0], losses_per_hour=30.0, seed=(0,))
        simulation = Simulation([fragile], make(), Arrivals([one_evaluation(seconds=1e6)]), Conditions())
        worker = simulation.workers[0]
        lost_at = worker.lifetime
        assert lost_at > 30.0
        simulation.run((lost_at + 44.9) / HOUR)
        assert (simulation.slots, simulation.lost_attempts) == (1, 0)
        simulation.run((lost_at + 60.1) / HOUR)
        assert (simulation.evaluations[0].lost, worker.id in simulation.known) == (1, False)

    def test_a_message_fetching_and_start_up_take_their_time(self):
        steady = Host(0, KINDS[0], losses_per_hour=0.0, seed=(0,))
        conditions = Conditions(source_bytes=1e9, host_bytes_per_second=1e8, startup_seconds=20.0)
        simulation = Simulation([steady], make(), Arrivals([one_evaluation()]), conditions)
        simulation.run(1.0)
        # start-up; a message to begin; 10 s of fetching; the evaluation; a message to end
        assert simulation.evaluations[0].done_at == pytest.approx(20.0 + 0.05 + 10.0 + 600.0 + 0.05)


class TestChance:
    @pytest.mark.parametrize("scheduler", SCHEDULERS)
    def test_the_same_seed_gives_the_same_run_and_another_another(self, scheduler):
        def course(seed):
            simulation = arrivals(scheduler, hosts=6, seed=seed, hours=1.0)
            return [(one.id, one.attempts, one.done_at) for one in simulation.evaluations]

        assert course(3) == course(3)
        assert course(3) != course(4)

    def test_hosts_live_the_same_lives_whatever_the_scheduler(self):
        lives = [
            {worker.id: (worker.joined_at, worker.lifetime) for worker in arrivals(name, churn=2.0).workers}
            for name in SCHEDULERS
        ]
        assert lives[0] == lives[1] == lives[2]
        assert len(lives[0]) > 12

    def test_the_same_seed_draws_the_same_evaluations_and_another_others(self):
        assert workload(seed=0).draw() == workload(seed=0).draw() != workload(seed=1).draw()

    def test_arrivals_are_as_much_work_as_they_should_be(self):
        evaluations = workload(spread=0.3).arrivals(speed=50.0, hours=20.0)
        assert sum(one.seconds for one in evaluations) == pytest.approx(50.0 * 20.0 * HOUR, rel=0.1)
        assert [one.arrives_at for one in evaluations] == sorted(one.arrives_at for one in evaluations)


class TestFeeding:
    def busy(self, feeding, hours=3.0):
        simulation = Simulation(spread_fleet(8, 10.0, 0.05, 0), make(), feeding, Conditions())
        simulation.run(hours)
        return busy_share(simulation), simulation

    def test_steady_feeding_keeps_one_in_four_more_than_slots_under_way(self):
        _, simulation = self.busy(SteadyState(workload(sizes=SMALL_SIZES).draw))
        under_way = sum(not one.over for one in simulation.evaluations)
        assert 8 <= under_way <= 10

    def test_a_generation_begins_when_the_last_is_over(self):
        _, simulation = self.busy(Generations(workload(sizes=SMALL_SIZES).draw, 10))
        for first in range(10, len(simulation.evaluations), 10):
            before = simulation.evaluations[first - 10 : first]
            assert max(one.done_at for one in before) <= simulation.evaluations[first].queued_at

    def test_steady_feeding_leaves_nobody_idle_and_the_barrier_does(self):
        steady, _ = self.busy(SteadyState(workload(sizes=SMALL_SIZES).draw))
        barrier, _ = self.busy(Generations(workload(sizes=SMALL_SIZES).draw, 10))
        assert steady > 0.95
        assert barrier < 0.7


class TestDevices:
    def test_a_mixed_fleet_has_all_kinds_and_the_churn_that_was_asked_for(self):
        fleet = mixed_fleet(2000, 0.2, 0)
        assert len(fleet) == 2000
        assert {host.kind for host in fleet} == set(KINDS)
        assert sum(host.losses_per_hour for host in fleet) / 2000 == pytest.approx(0.2, rel=0.1)

    @given(st.sampled_from(KINDS), st.floats(1.0, 300.0))
    def test_a_fleet_of_one_kind_is_as_fast_as_asked_for_and_no_host_too_many(self, kind, speed):
        fleet = single_kind_fleet(kind, speed, 0.0, 0)
        assert total_speed(fleet) >= speed > total_speed(fleet[1:]) - 1e-9


class TestMeasures:
    def test_mean_error_and_the_lower_end_of_the_interval(self):
        assert mean_and_error([1.0, 2.0, 3.0]) == pytest.approx((2.0, 3**-0.5))
        assert lower_end([1.0, 2.0, 3.0]) == pytest.approx(2.0 - 4.302653 * 3**-0.5)

    def test_only_what_is_done_by_its_deadline_is_in_time(self):
        simulation = arrivals(churn=3.0, load=1.5)
        late = [one for one in simulation.evaluations if one.done_at and one.done_at > one.deadline_at]
        never = [one for one in simulation.evaluations if one.done_at is None]
        assert late
        assert never
        expected = 1 - (len(late) + len(never)) / len(simulation.evaluations)
        assert in_time_share(simulation) == pytest.approx(expected)
