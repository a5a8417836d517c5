"""A search whose candidates answer few items first, and only the best of them all."""

import heterosis as ht
import pytest
from heterosis.core.errors import ConfigurationError
from heterosis.core.study_spec import StudySpec
from heterosis.fitness.evaluator import Evaluator
from heterosis.search.level_report import level_report
from heterosis.workers.group import Group

TEXT = " ".join(f"the {place} and the {place * place} ran" for place in range(90))
SCREEN = {"task": "text", "items": 3, "keep": 0.5}
FEW, ALL = 0, 1


@pytest.fixture
def study(study, tmp_path):
    """Makes studies of the perplexity of a text, of which the search asks 12 pieces."""
    (tmp_path / "text.txt").write_text(TEXT)

    def make(database="a.db", screen=SCREEN, optimizer="ga", population=6, **settings):
        goal = ht.minimize("perplexity", task="text.txt", type="perplexity", characters=60, items=12, label="fit")
        if optimizer == "ga":
            settings["population"] = population
        return study(database, objectives=[goal], screen=screen, optimizer=optimizer, **settings)

    return make


def parts(study):
    """By number of the candidate: how many items each part asked (None: all)."""
    found = study.store.queue.parts(study.record.id, "search")
    return {
        candidate.record.number: {
            part.part: None if part.items is None else sum(map(len, part.items.values()))
            for part in found[candidate.record.id]
        }
        for candidate in study.candidates
    }


def test_the_better_half_by_the_screen_is_asked_everything_and_the_rest_is_screened_out(study):
    made = study().optimize(6)
    asked = parts(made)
    assert [found[FEW] for found in asked.values()] == [3] * 6
    kept = {number for number, found in asked.items() if ALL in found}
    assert len(kept) == 3
    evaluator = Evaluator(made.spec)
    first = [item.id for item in evaluator.items["search"]["text"].items[:3]]
    means = {}
    for candidate in made.candidates:
        scores = evaluator.evaluate(candidate.recipe, "search", {"text": first}).scores["text"]
        means[candidate.record.number] = sum(scores) / 3
    assert kept == set(sorted(means, key=lambda number: -means[number])[:3])
    for candidate in made.candidates:
        number, figures = candidate.record.number, candidate.measurements["search"]
        assert candidate.record.state == "complete"
        assert candidate.record.failure is None
        if number in kept:
            assert set(figures) == {"text", "fit"}
        else:
            assert set(figures) == {"screen"}
            assert (figures["screen"].items, figures["screen"].mean) == (3, pytest.approx(means[number]))
    (ask,) = made.store.asks.all(made.record.id)
    assert [told is not None for told in ask.told] == [candidate.number in kept for candidate in ask.candidates]


def test_it_finds_the_winner_of_a_full_search_with_fewer_items(study):
    full = study("full.db", screen=None, optimizer="random").optimize(12)
    made = study(optimizer="random").optimize(12)
    assert [candidate.genome for candidate in made.candidates] == [candidate.genome for candidate in full.candidates]
    assert made.best().genome == full.best().genome
    assert made.best().measurements["search"] == full.best().measurements["search"]
    assert made.report().winner == full.report().winner
    assert made.fitness().in_all == 12 * 3 + 6 * 12 < full.fitness().in_all == 12 * 12
    assert (made.fitness().screened_out, full.fitness().screened_out) == (6, 0)


def test_those_screened_out_are_in_no_ranking_and_count_as_done(study):
    said = []
    made = study().optimize(12, listener=said.append)
    out = {number for number, found in parts(made).items() if ALL not in found}
    assert out
    assert not out & {candidate.record.number for candidate in [*made.front(), made.best()]}
    searching = [progress for progress in said if progress.stage == "search"]
    assert (searching[-1].done, searching[-1].failed) == (len(made.candidates), 0)


def test_what_the_optimizer_was_given_is_never_screened(study):
    genes = study("genes.db").spec.space.genes
    given = [{gene.name: 0.0 for gene in genes.genes}, {gene.name: 1.5 for gene in genes.genes}]
    made = study(screen={**SCREEN, "keep": 0.01}, first=given).optimize(6)
    asked = parts(made)
    operators = {candidate.record.number: candidate.record.operator for candidate in made.candidates}
    tried = [number for number, operator in operators.items() if operator == "given"]
    assert len(tried) == 2
    assert all(asked[number] == {ALL: None} for number in tried)
    assert sum(ALL in asked[number] for number in asked if number not in tried) == 1


def test_a_generation_of_which_all_go_on_is_not_screened(study):
    made = study(screen={**SCREEN, "keep": 1.0}).optimize(6)
    assert all(found == {ALL: None} for found in parts(made).values())


class Ended(BaseException):
    pass


@pytest.mark.parametrize("evaluations", [0, 2, 6, 8, 10, 16])
def test_a_search_that_was_interrupted_goes_on_as_if_it_had_not_been(evaluations, study, history, monkeypatch):
    whole = study("whole.db").optimize(18)
    expected = history(whole), parts(whole)
    left = evaluations
    run = Group.evaluate

    def until(self, record):
        nonlocal left
        left -= 1
        if left < 0:
            raise Ended
        return run(self, record)

    broken = study("broken.db")
    with monkeypatch.context() as patch:
        patch.setattr(Group, "evaluate", until)
        with pytest.raises(Ended):
            broken.optimize(18)
    broken.close()
    resumed = study("broken.db").optimize(18)
    assert (history(resumed), parts(resumed)) == expected


def test_a_candidate_that_fails_in_the_screen_has_failed_and_takes_no_place(study, monkeypatch):
    made = study()
    evaluate = Evaluator.evaluate
    calls = []

    def sometimes(self, recipe, stage, ids=None):
        calls.append(ids)
        if len(calls) == 2:
            raise ZeroDivisionError
        return evaluate(self, recipe, stage, ids)

    monkeypatch.setattr(Evaluator, "evaluate", sometimes)
    monkeypatch.setattr(Evaluator, "evaluate_together", lambda self, recipes, *_: [None] * len(recipes))
    made.optimize(6)
    states = [candidate.record.state for candidate in made.candidates]
    assert states.count("failed") == 1
    assert states[1] == "failed"
    asked = parts(made)
    assert ALL not in asked[1]
    assert sum(ALL in found for found in asked.values()) == 3


@pytest.mark.parametrize(
    ("screen", "message"),
    [
        ({"task": "texts"}, "unknown task 'texts'.*text"),
        ({}, "task must be text"),
        ({"task": "text", "keep": 0}, "keep must be more than 0"),
        ({"task": "text", "keep": 1.1}, "keep must be a number from 0 to 1, not 1.1"),
        ({"task": "text", "items": 0}, "items must be a whole number of at least 1, not 0"),
        ({"task": "text", "item": 3}, "unknown key 'item'"),
        ("text", "must be a mapping"),
    ],
)
def test_a_screen_that_cannot_be(screen, message, study):
    with pytest.raises(ConfigurationError, match=f"screen.*{message}"):
        study(screen=screen)


def test_more_items_than_there_are_are_refused_before_anything_is_evaluated(study):
    made = study(screen={"task": "text", "items": 13})
    with pytest.raises(ConfigurationError, match="13 items of the task 'text' are to be asked first, and there are 12"):
        made.optimize(6)
    assert made.candidates == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"fitness": "auto"}, "race on few items already"), ({"steady_state": True}, "in steady state")],
)
def test_what_it_cannot_be_together_with(settings, message, study):
    with pytest.raises(ConfigurationError, match=message):
        study(**settings)


def test_a_study_is_read_back_as_it_was_written_and_continued(study):
    made = study().optimize(6)
    assert StudySpec.from_dict(made.spec.to_dict(), made.spec.folder).screen == made.spec.screen
    assert len(study().optimize(12).candidates) >= 7
    with pytest.raises(ConfigurationError, match="other settings"):
        study(screen=None)


def test_bit_widths_are_screened_by_divergence_and_their_starts_are_not(levelled, tmp_path, words):
    (tmp_path / "text.txt").write_text(TEXT)
    goals = [
        ht.maximize("accuracy", task=words, items=10),
        ht.minimize("divergence", task=str(tmp_path / "text.txt"), type="divergence", characters=60, items=12),
    ]
    screen = {"task": "text", "items": 3, "keep": 0.25}
    made = levelled(objectives=goals, screen=screen, population=4, offspring=8)
    made.prepare(lambda *_: None)
    starts = len(made.store.studies.levels(made.record.id)["starts"])
    made.optimize(starts + 8)
    asked = parts(made)
    given = {candidate.record.number for candidate in made.candidates if candidate.record.operator == "given"}
    assert len(given) >= starts
    assert all(asked[number] == {ALL: None} for number in given)
    bred = asked.keys() - given
    assert bred
    assert 0 < sum(ALL in asked[number] for number in bred) < len(bred)
    levels = level_report(made)
    assert all(found.start is not None for found in levels.comparisons)
