"""A search whose candidates race on few items, while sources and elites answer all of them."""

import math

import heterosis as ht
import pytest
from heterosis.core.errors import ConfigurationError
from heterosis.fitness.evaluator import Evaluator
from heterosis.search.estimated_scoring import CHECKED
from heterosis.storage import LATER_PARTS, REST_PART, RETEST_PART
from heterosis.workers.group import Group

FITNESS = {"estimator": "stratified_mean", "first": 4, "most": 16, "elites": 0.3}
ITEMS = 40
TEXT = " ".join(f"the {place} and the {place * place} ran" for place in range(90))


@pytest.fixture
def study(study, tmp_path, choice_items, write_lines):
    """Makes studies with 40 search items."""
    words = str(write_lines(tmp_path / "many.jsonl", choice_items(ITEMS + 20)))

    def make(database="a.db", fitness=FITNESS, optimizer="ga", **settings):
        goal = ht.maximize("accuracy", task=words, items=ITEMS)
        return study(database, objectives=[goal], fitness=fitness, optimizer=optimizer, **settings)

    return make


def parts_of(study):
    """How many items each candidate was asked, part by part."""
    parts = study.store.queue.parts(study.record.id, "search")
    return {
        candidate.id: [
            (part.part, None if part.items is None else sum(map(len, part.items.values())))
            for part in parts.get(candidate.id, ())
        ]
        for candidate in study.store.candidates.all(study.record.id)
    }


def test_candidates_race_sources_and_elites_answer_everything(study):
    made = study()
    made.optimize(candidates=18)
    parts = parts_of(made)
    records = {record.id: record for record in made.store.candidates.all(made.record.id)}
    sources = [parts[key] for key, record in records.items() if record.label in ("one", "two")]
    assert sources == [[(0, None)], [(0, None)]]
    raced = {key: [count for part, count in found if part < LATER_PARTS] for key, found in parts.items()}
    bred = {key: counts for key, counts in raced.items() if records[key].kind == "bred"}
    assert {counts[0] for counts in bred.values()} == {4}
    assert 4 < max(sum(counts) for counts in bred.values()) <= 16
    assert sum(sum(counts) for counts in bred.values()) <= 10 * len(bred)
    again = [count for found in parts.values() for part, count in found if part == RETEST_PART]
    assert 1 <= len(again) <= CHECKED * made.spec.finalists
    assert set(again) <= set(range(1, 17))
    spent = sum(map(sum, bred.values()))
    elites = [key for key, found in parts.items() if found and found[-1][0] == REST_PART]
    assert elites
    assert len(elites) * ITEMS <= 0.3 * (spent + len(elites) * ITEMS)
    for key in elites:
        answers = made.store.results.responses(key, "search")["many"]
        assert len(set(answers.item_set.item_ids)) == ITEMS
        figure = records[key].measurements["search"]["accuracy many"]
        assert (figure.items, figure.mean) == (ITEMS, pytest.approx(sum(answers.scores) / ITEMS))
    for candidate in made.candidates:
        figure = candidate.measurements["search"]["accuracy many"]
        assert 0 <= figure.mean <= 1
        assert figure.standard_error > 0


def test_no_item_is_asked_twice_and_answers_are_those_of_a_whole_evaluation(study):
    made = study()
    made.optimize(candidates=12)
    evaluator = Evaluator(made.spec)
    for candidate in made.candidates:
        answers = made.store.results.responses(candidate.record.id, "search")["many"]
        ids = answers.item_set.item_ids
        assert len(set(ids)) == len(ids)
        whole = evaluator.evaluate(candidate.recipe, "search").scores["many"]
        expected = dict(zip((item.id for item in evaluator.items["search"]["many"].items), whole, strict=True))
        assert all(expected[id_] == score for id_, score in zip(ids, answers.scores, strict=True))


class Ended(BaseException):
    pass


@pytest.mark.parametrize("evaluations", [1, 3, 7, 11, 16, 22, 29])
def test_a_search_that_was_interrupted_goes_on_as_if_it_had_not_been(evaluations, study, history, monkeypatch):
    whole = study("whole.db")
    whole.optimize(candidates=18)
    expected = history(whole), sorted(parts_of(whole).values(), key=str)

    run = Group.evaluate

    def until(self, record):
        nonlocal evaluations
        evaluations -= 1
        if evaluations < 0:
            raise Ended
        return run(self, record)

    broken = study("broken.db")
    with monkeypatch.context() as patch:
        patch.setattr(Group, "evaluate", until)
        with pytest.raises(Ended):
            broken.optimize(candidates=18)
    broken.close()
    resumed = study("broken.db")
    resumed.optimize(candidates=18)
    assert (history(resumed), sorted(parts_of(resumed).values(), key=str)) == expected


def test_a_candidate_that_fails_leaves_the_race_with_its_reason(study, monkeypatch):
    made = study()
    evaluate = Evaluator.evaluate
    calls = []

    def sometimes(self, recipe, stage, ids=None):
        if ids is not None:
            calls.append(recipe)
            if len(calls) == 2:
                raise MemoryError("no room")
        return evaluate(self, recipe, stage, ids)

    monkeypatch.setattr(Evaluator, "evaluate", sometimes)
    made.optimize(candidates=12)
    failed = [candidate for candidate in made.candidates if candidate.record.state == "failed"]
    assert [candidate.record.failure for candidate in failed] == ["memory: no room"]
    assert not failed[0].measurements
    assert made.best().name != failed[0].name


def test_with_as_many_first_as_most_there_is_no_race_and_all_of_an_ask_answer_the_same(study):
    made = study(fitness={**FITNESS, "first": 10, "most": 10, "elites": 0})
    made.optimize(candidates=16)
    parts = made.store.queue.parts(made.record.id, "search")
    asked = {}
    for candidate in made.candidates:
        raced = [part.items for part in parts[candidate.record.id] if part.part < LATER_PARTS]
        assert len(raced) == 1
        asked.setdefault(candidate.record.ask_no, set()).add(raced[0]["many"])
    assert all(len(items) == 1 for items in asked.values())
    assert {len(ids) for items in asked.values() for ids in items} == {10}


def test_several_tasks_share_the_items_and_a_perplexity_is_asked_in_full(
    study, tmp_path, choice_items, write_lines, checkpoints
):
    files = [write_lines(tmp_path / f"{n}.jsonl", choice_items(40, first=n)) for n in (0, 1)]
    (tmp_path / "text.txt").write_text(TEXT)
    goals = [
        ht.maximize("accuracy", task=[str(file) for file in files], items=30),
        ht.minimize("perplexity", task=str(tmp_path / "text.txt"), items=2, type="perplexity", characters=200),
    ]
    space = ht.Space(
        base=str(checkpoints / "base"),
        sources=[str(checkpoints / name) for name in ("one", "two")],
        merge=ht.Merge("task_arithmetic", weight=(0.0, 1.5)),
    )
    made = ht.Study("two", space, goals, optimizer="nsga2", storage=tmp_path / "two.db", fitness=FITNESS, population=6)
    made.optimize(candidates=12)
    for candidate in made.candidates:
        answered = made.store.results.responses(candidate.record.id, "search")
        assert len(answered["text"].scores) == 2
        assert abs(len(answered["0"].scores) - len(answered["1"].scores)) <= 1
        assert math.isfinite(candidate.measurements["search"]["perplexity text"].mean)
    made.close()


def test_nothing_to_estimate_is_refused(tmp_path, checkpoints):
    (tmp_path / "text.txt").write_text(TEXT)
    space = ht.Space(
        base=str(checkpoints / "base"),
        sources=[str(checkpoints / name) for name in ("one", "two")],
        merge=ht.Merge("task_arithmetic", weight=(0.0, 1.5)),
    )
    goal = ht.minimize("perplexity", task=str(tmp_path / "text.txt"), items=2, type="perplexity", characters=200)
    made = ht.Study("one", space, [goal], optimizer="ga", storage=tmp_path / "one.db", fitness=FITNESS)
    with pytest.raises(ConfigurationError, match=r"no objective is a share of right answers.*fitness: full"):
        made.optimize(candidates=4)
    made.close()


@pytest.mark.parametrize(
    ("fitness", "message"),
    [
        ({"estimator": "stratified_mean", "frist": 3}, "unknown key 'frist'.*first"),
        ({"first": 0}, "first must be a whole number of at least 1, not 0"),
        ({"first": 20, "most": 10}, r"`most` \(10\) is less than `first` \(20\)"),
        ({"elites": 1.5}, "elites must be a number from 0 to 1, not 1.5"),
        ({"references": {"mani": "a.npz"}}, "unknown task 'mani'.*many"),
        ("stratified_meen", "no estimator 'stratified_meen'.*stratified_mean"),
    ],
)
def test_settings_that_cannot_be_used_are_named(fitness, message, study):
    with pytest.raises(ht.HeterosisError, match=message):
        study(fitness=fitness)
