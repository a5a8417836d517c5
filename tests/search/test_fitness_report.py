"""The report on estimates: agreement with full scores, and a check that leaves the search as it is."""

import math

import heterosis as ht
import pytest
from heterosis.core.estimate import Estimate
from heterosis.search.agreement import Agreement, Comparison
from heterosis.search.fitness_report import last_generation
from heterosis.storage import CHECK_PART, LATER_PARTS, REST_PART, RETEST_PART
from hypothesis import given
from hypothesis import strategies as st

FITNESS = {"estimator": "stratified_mean", "first": 4, "most": 16, "elites": 0.3}
ITEMS = 40


def agreement(*pairs, error=0.1):
    known = [Comparison(n, Estimate(said, error, 10), full, False) for n, (said, full) in enumerate(pairs)]
    return Agreement("accuracy", tuple(known))


def test_errors_are_in_points_and_bias_has_a_sign():
    found = agreement((0.5, 0.4), (0.6, 0.62), (0.9, 0.8))
    assert found.error == pytest.approx(100 * (0.1 + 0.02 + 0.1) / 3)
    assert found.bias == pytest.approx(100 * (0.1 - 0.02 + 0.1) / 3)


def test_order_is_unknown_of_few_or_of_equals():
    rising = [(0.1 * place, 0.1 * place + 0.05) for place in range(1, 6)]
    assert (agreement(*rising).spearman, agreement(*rising).kendall) == (pytest.approx(1), pytest.approx(1))
    assert (agreement(*rising[:4]).spearman, agreement(*rising[:4]).kendall) == (None, None)
    equal = [(0.5, full) for _, full in rising]
    assert (agreement(*equal).spearman, agreement(*equal).kendall) == (None, None)


def test_without_a_comparison_nothing_is_made_up():
    empty = agreement()
    assert (empty.error, empty.bias, empty.spearman, empty.kendall, empty.calibration) == (None, None, None, None, {})


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=20), st.floats(0.01, 0.3))
def test_wider_intervals_hold_more_and_right_estimates_are_always_held(pairs, error):
    shares = list(agreement(*pairs, error=error).calibration.values())
    assert shares == sorted(shares)
    right = agreement(*((0.05 + 0.9 * full, 0.05 + 0.9 * full) for _, full in pairs), error=error)
    assert set(right.calibration.values()) == {1.0}
    assert right.error == pytest.approx(0)


def test_an_interval_is_that_which_users_see():
    inside = Comparison(0, Estimate(0.5, 0.1, 10), 0.66, True)
    assert inside.predicted.interval(True, 0.9)[1] == pytest.approx(0.66, abs=0.005)
    assert (inside.inside(0.8), inside.inside(0.95)) == (False, True)


@pytest.fixture
def study(study, tmp_path, choice_items, write_lines):
    """Makes studies with 40 search items."""
    words = str(write_lines(tmp_path / "many.jsonl", choice_items(ITEMS + 20)))

    def make(database="a.db", fitness=FITNESS, **settings):
        goal = ht.maximize("accuracy", task=words, items=ITEMS)
        return study(database, objectives=[goal], fitness=fitness, optimizer="ga", population=6, **settings)

    return make


def evaluations_of(study):
    """Ids of the evaluations on search items, and how often each was tried, by part of which candidate."""
    parts = study.store.queue.parts(study.record.id, "search")
    names = {record.id: record.label or record.number for record in study.store.candidates.all(study.record.id)}
    return {
        (names[key], part.part): (part.items, part.state, part.attempt)
        for key, found in parts.items()
        for part in found
    }


def told_of(study):
    return [(ask.number, ask.told) for ask in study.store.asks.all(study.record.id)]


def test_a_check_is_asked_once_and_the_search_goes_on_as_if_it_had_not_been(study, history):
    checked = study("checked.db")
    checked.optimize(candidates=6)
    before = history(checked), checked.fitness()
    last = last_generation(checked.store.asks.all(checked.record.id))
    told = {candidate.id: candidate.measurements for candidate, _ in last}
    asked_before = evaluations_of(checked)

    counts = []
    report = checked.fitness(check=True, checked=lambda done, whole: counts.append((done, whole)))
    assert counts == [(done, len(last)) for done in range(len(last) + 1)]
    assert history(checked) == before[0]
    assert (report.in_all, report.elites) == (before[1].in_all, before[1].elites)
    assert (report.generation.known, report.generation.candidates) == (len(last), len(last))
    for candidate, _ in last:
        record = checked.store.candidates.get(candidate.id)
        assert (record.measurements, record.state) == (told[candidate.id], "complete")
        assert len(checked.store.results.responses(candidate.id, "search")["many"].scores) == ITEMS
    asked = evaluations_of(checked)
    new = {key: sum(map(len, asked[key][0].values())) for key in asked.keys() - asked_before.keys()}
    assert {part for _, part in new} == {CHECK_PART}
    assert report.checked == sum(new.values())

    again = checked.fitness(check=True)
    assert evaluations_of(checked) == asked
    assert again == report

    checked.optimize(candidates=18)
    whole = study("whole.db")
    whole.optimize(candidates=6)
    whole.optimize(candidates=18)
    assert history(checked) == history(whole)
    assert told_of(checked) == told_of(whole)
    looked_up = [
        part.seconds
        for candidate, _ in last
        for part in checked.store.queue.parts(checked.record.id, "search")[candidate.id]
        if (candidate.number, part.part) not in asked and part.part >= LATER_PARTS
    ]
    assert looked_up
    assert not any(looked_up), "an item was asked twice"
    others = evaluations_of(whole)
    assert {key: asked for key, asked in evaluations_of(checked).items() if key in others} == others

    report = whole.fitness()
    assert report.asked == {
        candidate.record.number: sum(
            sum(map(len, items.values()))
            for (number, part), (items, *_) in others.items()
            if number == candidate.record.number and part < LATER_PARTS
        )
        for candidate in whole.candidates
    }
    rests, retests = (
        [sum(map(len, items.values())) for (_, part), (items, *_) in others.items() if part == later]
        for later in (REST_PART, RETEST_PART)
    )
    assert (report.elites, report.of_elites, report.of_retests) == (len(rests), sum(rests), sum(retests))
    assert (report.sources, report.of_sources) == (2, 2 * ITEMS)
    assert report.speed_up == pytest.approx(len(whole.candidates) * ITEMS / report.in_all)
    known = report.agreements[0].known
    assert len(known) == len(rests) > 0
    first = {candidate.number for candidate, _ in last}
    assert first & {one.number for one in known}, "the case in which an elite was checked before is not tried"
    for one in known:
        figure = whole.candidate(one.number).measurements["search"]["accuracy many"]
        assert (figure.mean, figure.items) == (pytest.approx(one.full), ITEMS)
        assert one.predicted.items == report.asked[one.number] < ITEMS
        assert math.isfinite(one.predicted.standard_error)


def test_a_study_that_asks_everything_has_nothing_to_estimate(study):
    made = study("full.db", fitness="full")
    made.optimize(candidates=6)
    report = made.fitness(check=True)
    assert (report.fitness, report.items, set(report.asked.values())) == (None, ITEMS, {ITEMS})
    assert (report.speed_up, report.in_all) == (1.0, len(made.candidates) * ITEMS)
    assert (report.agreements, report.checked) == ((), 0)


def test_auto_says_what_it_would_choose_now_and_why(study):
    made = study("auto.db", fitness={**FITNESS, "estimator": "auto"})
    made.optimize(candidates=6)
    choice = made.fitness().choices["many"]
    assert choice.name.startswith(("paired_difference", "stratified_mean"))
    assert "models have answered every item" in choice.reasons[0]
