"""Races: what is asked, of whom, and when it is over."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from heterosis.core.contracts.estimator import Matrix, Places, References
from heterosis.core.errors import ConfigurationError
from heterosis.fitness.estimators.stratified_mean import StratifiedMean
from heterosis.fitness.panel import Aim, Panel
from heterosis.fitness.race_order import best_first, fronts, regrets
from heterosis.fitness.racing import Race, RaceRule
from hypothesis import given, settings
from hypothesis import strategies as st

ITEMS = 300


def panel(sizes: Mapping[str, int], aims: list[Aim], seed: int = 0) -> Panel:
    estimators = {}
    for task, size in sizes.items():
        estimators[task] = StratifiedMean(seed=seed)
        estimators[task].fit(References(np.empty((0, size))))
    return Panel(estimators, sizes, aims, seed)


def single(seed: int = 0) -> Panel:
    return panel({"task": ITEMS}, [Aim(("task",))], seed)


def models(levels: Matrix, items: int = ITEMS, seed: int = 0) -> Matrix:
    """Answers of models with these chances of a right one."""
    lots = np.random.default_rng(seed)
    return np.asarray(lots.random((len(levels), items)) < levels[:, None], np.float64)


def run(race: Race, truth: Matrix) -> list[dict[int, Places]]:
    """Rounds of a race in which everybody answers."""
    rounds = []
    while asked := race.ask():
        rounds.append(asked)
        race.tell({number: truth[number, places] for number, places in asked.items()})
    return rounds


def test_the_best_are_found_for_a_fraction_of_the_items() -> None:
    levels = np.concatenate([np.linspace(0.1, 0.5, 59), np.full(5, 0.95)])
    race = Race(single(), 64)
    run(race, models(levels))
    assert set(race.order()[:5].tolist()) == set(range(59, 64))
    assert race.asked.mean() <= 15


def test_rounds_are_for_half_as_many_with_twice_the_items() -> None:
    race = Race(single(), 64, RaceRule(first=5, most=80))
    rounds = run(race, models(np.linspace(0.4, 0.6, 64)))
    assert len(rounds[0]) == 64
    for number, (asked, most, count) in enumerate(zip(rounds[1:], (32, 16, 8, 4), (5, 10, 20, 40), strict=False)):
        assert len(asked) <= most, number
        assert {len(places) for places in asked.values()} <= {count}
    assert race.asked.max() <= 80


def test_a_race_that_is_decided_ends() -> None:
    truth = np.zeros((2, ITEMS))
    truth[1] = 1.0
    race = Race(panel({"task": ITEMS}, [Aim(("task",))]), 2, RaceRule(first=40, most=300))
    assert len(run(race, truth)) == 1
    assert race.order().tolist() == [1, 0]


def test_nothing_is_asked_twice_and_a_race_repeats_itself() -> None:
    truth = models(np.linspace(0.2, 0.8, 20))
    races = [Race(single(), 20) for _ in range(2)]
    first, second = (run(race, truth) for race in races)
    seen: dict[int, set[int]] = {number: set() for number in range(20)}
    for one, other in zip(first, second, strict=True):
        assert one.keys() == other.keys()
        for number, places in one.items():
            np.testing.assert_array_equal(places, other[number])
            assert seen[number].isdisjoint(places.tolist())
            assert len(set(places.tolist())) == len(places)
            seen[number].update(places.tolist())


def test_items_are_common_but_for_a_tenth_at_random() -> None:
    race = Race(single(), 8, RaceRule(first=40, most=40))
    run(race, models(np.full(8, 0.5)))
    np.testing.assert_array_equal(race.random.sum(axis=1), np.full(8, 4))
    common = np.isfinite(race.responses) & ~race.random
    assert (common.sum(axis=0) == 8).sum() == 36
    assert len({tuple(np.flatnonzero(row)) for row in race.random}) > 1


@pytest.mark.parametrize("first", [1, 9, 10, 25])
def test_how_many_are_random_over_a_race(first: int) -> None:
    race = Race(single(), 4, RaceRule(first=first, most=100))
    run(race, models(np.full(4, 0.5)))
    np.testing.assert_array_equal(race.random.sum(axis=1), race.asked // 10)


def test_tasks_share_the_items_evenly() -> None:
    sizes = {"a": 100, "b": 100, "c": 100}
    race = Race(panel(sizes, [Aim(("a", "b", "c"))]), 4, RaceRule(first=7, most=100))
    run(race, models(np.full(4, 0.5)))
    for row in np.isfinite(race.responses).reshape(4, 3, 100).sum(axis=2):
        assert np.ptp(row) <= 1
    by_task = race.panel.by_task(np.array([5, 250, 101, 199]))
    assert {task: places.tolist() for task, places in by_task.items()} == {"a": [5], "b": [1, 99], "c": [50]}


def test_a_task_with_few_items_is_asked_all_of_them() -> None:
    race = Race(panel({"small": 3, "large": 50}, [Aim(("small", "large"))]), 2, RaceRule(first=20, most=20))
    run(race, models(np.full(2, 0.5), 53))
    np.testing.assert_array_equal(np.isfinite(race.responses[:, :3]).sum(axis=1), [3, 3])
    np.testing.assert_array_equal(race.asked, [20, 20])


def test_who_has_answered_everything_is_known_exactly() -> None:
    truth = models(np.array([0.4, 0.5, 0.6]), 12)
    race = Race(panel({"task": 12}, [Aim(("task",))]), 3, RaceRule(first=12, most=50))
    assert len(run(race, truth)) == 1
    np.testing.assert_allclose(race.scores().mean[:, 0], truth.mean(axis=1))
    np.testing.assert_array_equal(race.scores().standard_error[:, 0], 0)


def test_an_objective_is_the_mean_of_its_tasks() -> None:
    tasks = panel({"a": 10, "b": 40}, [Aim(("a", "b")), Aim(("b",), -1)])
    responses = np.where(np.arange(50) % 2, models(np.array([0.3, 0.7]), 50), np.nan)
    found = tasks.estimate(responses)
    a, b = found.tasks["a"], found.tasks["b"]
    np.testing.assert_allclose(found.mean, np.stack([(a.mean + b.mean) / 2, b.mean], axis=1))
    np.testing.assert_allclose(found.standard_error[:, 0], np.hypot(a.standard_error, b.standard_error) / 2)


@pytest.mark.parametrize("failure", [None, "missing", "not a number"])
def test_a_candidate_that_fails_leaves(failure: str | None) -> None:
    truth = models(np.linspace(0.9, 0.2, 8))
    race = Race(single(), 8)
    answers = {number: truth[number, places] for number, places in race.ask().items()}
    told: dict[int, Matrix | None] = dict(answers)
    if failure == "missing":
        del told[0]
    else:
        told[0] = None if failure is None else np.where(np.arange(len(answers[0])) == 2, np.nan, answers[0])
    race.tell(told)
    while asked := race.ask():
        assert 0 not in asked
        race.tell({number: truth[number, places] for number, places in asked.items()})
    assert race.failed.tolist() == [True] + [False] * 7
    assert race.order()[-1] == 0


def test_when_all_fail_the_race_is_over() -> None:
    race = Race(single(), 3)
    race.ask()
    race.tell({})
    assert race.ask() == {}
    assert sorted(race.order().tolist()) == [0, 1, 2]
    assert Race(single(), 0).ask() == {}


def test_what_was_not_asked_is_not_taken() -> None:
    race = Race(single(), 2)
    asked = race.ask()
    assert {number: places.tolist() for number, places in race.ask().items()} == {
        number: places.tolist() for number, places in asked.items()
    }
    with pytest.raises(ConfigurationError, match="candidate 7 was not asked"):
        race.tell({7: np.ones(5)})
    with pytest.raises(ConfigurationError, match="candidate 1 was asked 5 items"):
        race.tell({0: np.ones(5), 1: np.ones(4)})


def test_small_models_stay_where_size_counts_too() -> None:
    """With bytes as a second objective, the worst but smallest candidate is not worse than others."""
    truth = models(np.array([0.9, 0.8, 0.1]))
    race = Race(single(), 3, RaceRule(first=60, most=60), known=np.array([[-3.0], [-4.0], [-1.0]]))
    run(race, truth)
    assert race.order()[-1] == 1
    with pytest.raises(ConfigurationError, match="3 candidates"):
        Race(single(), 3, known=np.zeros((2, 1)))


@pytest.mark.parametrize("rule", [{"first": 0}, {"first": 9, "most": 8}, {"keep": 1.0}, {"keep": 0.0}, {"best": 0}])
def test_rules_that_make_no_race_are_refused(rule: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        RaceRule(**rule)  # type: ignore[arg-type]


@pytest.mark.parametrize("aims", [[], [Aim(())], [Aim(("tusk",))]])
def test_panels_without_an_objective_are_refused(aims: list[Aim]) -> None:
    with pytest.raises(ConfigurationError):
        panel({"task": 5}, aims)


values = st.lists(st.tuples(*[st.integers(0, 4)] * 2), min_size=1, max_size=12).map(lambda rows: np.array(rows, float))


@given(values)
def test_no_front_holds_one_that_dominates_another(found: Matrix) -> None:
    front = fronts(found)
    for one in range(len(found)):
        dominating = (found >= found[one]).all(axis=1) & (found > found[one]).any(axis=1)
        assert front[one] == (front[dominating].max() + 1 if dominating.any() else 0)
    assert np.all(np.diff(front[best_first(found)]) >= 0)


@settings(max_examples=30)
@given(st.lists(st.integers(-50, 50), min_size=3, max_size=10, unique=True), st.integers(1, 2))
def test_who_is_nearest_to_the_edge_is_in_the_greatest_doubt(scores: list[int], best: int) -> None:
    mean = np.array(scores, float)[:, None]
    found = regrets(mean, np.full_like(mean, 5.0), best)
    last, following = np.sort(mean[:, 0])[::-1][best - 1 : best + 1]
    away = np.where(mean[:, 0] >= last, mean[:, 0] - following, last - mean[:, 0])
    order = np.argsort(away, kind="stable")
    assert np.all(np.diff(found[order]) <= 0.02 * 5.0 / np.ptp(mean))
    assert np.all(found[away > 12.5] == 0)
    assert np.all(found[away < 10] > 0)


def test_regret_is_the_expected_loss() -> None:
    """Of a normal estimate s below its rival it is s (phi(1) - Phi(-1)), here in ranges of 2 s."""
    found = regrets(np.array([[2.0], [1.0], [0.0]]), np.ones((3, 1)), 1)
    assert found[:2] == pytest.approx([0.0833 / 2] * 2, abs=0.003)
    assert found[2] == pytest.approx(0.0085 / 2, abs=0.003)
