"""A search that evaluates candidates together: the same trajectory as one at a time, interrupted or not."""

import heterosis as ht
import pytest
from heterosis.core.errors import ConfigurationError
from heterosis.fitness.evaluator import Evaluator


@pytest.fixture
def search(tmp_path, checkpoints, words):
    """Makes studies of two adapters of one base."""
    made = []

    def make(database, merge=None, **settings):
        space = ht.Space(
            base=str(checkpoints / "base"),
            sources=[str(checkpoints / name) for name in ("lora-one", "lora-two")],
            merge=merge or ht.Merge("task_arithmetic", groups="layers:2", weight=(0.0, 8.0)),
            relative_to=tmp_path,
        )
        goals = [ht.maximize("accuracy", task=words, items=10)]
        settings = {"optimizer": "ga", "population": 6, "seed": 3, "finalists": 2, **settings}
        made.append(ht.Study("tiny", space, goals, storage=tmp_path / database, **settings))
        return made[-1]

    yield make
    for study in made:
        study.close()


@pytest.fixture
def companies(monkeypatch):
    """Which recipes were evaluated together, and how many of them could be, call by call."""
    calls = []
    together = Evaluator.evaluate_together

    def noted(self, recipes, stage, ids=None):
        found = together(self, recipes, stage, ids)
        calls.append(([recipe.hash for recipe in recipes], sum(one is not None for one in found)))
        return found

    monkeypatch.setattr(Evaluator, "evaluate_together", noted)
    return calls


SPACES = [
    None,
    ht.Merge(["task_arithmetic", "ties"], weight=(0.0, 8.0)),
    ht.Merge("linear", weight=(-1.0, 1.0)),
]


@pytest.mark.parametrize("merge", SPACES)
@pytest.mark.parametrize("optimizer", ["ga", "cmaes"])
def test_the_trajectory_is_that_of_one_at_a_time(optimizer, merge, search, history, companies, monkeypatch):
    if optimizer == "cmaes" and merge is SPACES[1]:
        pytest.skip("CMA-ES has no categories")
    together = search("together.db", merge, optimizer=optimizer).optimize(18)
    assert sum(count for _, count in companies) >= 2
    monkeypatch.setattr(Evaluator, "evaluate_together", lambda self, recipes, stage, ids=None: [None] * len(recipes))
    assert history(search("alone.db", merge, optimizer=optimizer).optimize(18)) == history(together)


@pytest.mark.parametrize("recorded", [1, 4, 5, 6, 8, 13])
def test_an_interrupted_search_goes_on_in_the_same_company(recorded, search, history, companies):
    whole = search("whole.db").optimize(18)
    uninterrupted = list(companies)
    companies.clear()
    told = []

    def interrupt(progress):
        told.append(progress)
        if len(told) == recorded:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search("a.db").optimize(18, interrupt)
    assert history(search("a.db").optimize(18)) == history(whole)
    assert {tuple(hashes) for hashes, _ in companies} == {tuple(hashes) for hashes, _ in uninterrupted}
    assert len(companies) <= len(uninterrupted) + 1, "only the generation that was interrupted is computed again"


def test_what_an_earlier_generation_has_is_no_company(search, companies):
    search("a.db", ht.Merge("task_arithmetic", weight=(0.0, 8.0)), population=4).optimize(24)
    hashes = [one for company, _ in companies for one in company]
    assert len(hashes) == len(set(hashes))


def test_candidates_that_fail_are_recorded_as_they_would_be_alone(search, monkeypatch):
    def failures(database):
        study = search(database, ht.Merge("task_arithmetic", weight=(-1e38, 1e38)))
        with pytest.raises(ConfigurationError, match="no candidate has succeeded"):
            study.optimize(6)
        return [candidate.record.failure for candidate in study.candidates]

    together = failures("together.db")
    monkeypatch.setattr(Evaluator, "evaluate_together", lambda self, recipes, stage, ids=None: [None] * len(recipes))
    assert failures("alone.db") == together
