"""What a study refuses, and what it says then."""

import shutil

import heterosis as ht
import pytest
from heterosis.core import registry
from heterosis.core.errors import ConfigurationError, OptimizerError
from heterosis.plugins.tasks.multiple_choice import MultipleChoice
from heterosis.testing.checkpoints import write_tiny

pytestmark = pytest.mark.end_to_end


class Broken(MultipleChoice):
    """Fails the evaluations that are listed by their number, from 1."""

    fails: tuple[int, ...] = ()
    asked = 0

    def score(self, model, items):
        type(self).asked += 1
        if not self.fails or self.asked in self.fails:
            raise ZeroDivisionError(f"evaluation {self.asked}")
        return super().score(model, items)


@pytest.fixture
def breaking(install_plugin, words):
    """Goals whose task fails these evaluations, or all."""

    def goals(*fails):
        install_plugin("tasks", "broken", type("Broken", (Broken,), {"fails": fails}))
        return [ht.maximize("accuracy", task=words, items=10, type="broken")]

    return goals


def test_a_candidate_that_fails_is_recorded_and_the_study_goes_on(study, breaking):
    found = study(objectives=breaking(2, 4), optimizer="ga", population=3).optimize(7)
    states = [candidate.record.state for candidate in found.candidates]
    assert states.count("failed") == 2
    assert [c.record.failure for c in found.candidates if c.record.failure] == [
        "plugin: ZeroDivisionError('evaluation 2')",
        "plugin: ZeroDivisionError('evaluation 4')",
    ]
    assert found.best().record.state == "complete"
    assert all(candidate.record.state == "complete" for candidate in found.front())


def test_when_all_fail_the_first_reason_is_told(study, breaking):
    found = study(objectives=breaking())
    with pytest.raises(ConfigurationError) as caught:
        found.optimize(3)
    first = "the first failure was candidate 0: plugin: ZeroDivisionError('evaluation 1')"
    assert str(caught.value) == f"no candidate has succeeded; {first}"
    assert found.store.studies.get("tiny").state == "failed"
    assert [candidate.record.state for candidate in found.candidates] == ["failed"] * 3
    assert found.front() == []


def test_before_the_first_candidate_there_is_no_best(study):
    with pytest.raises(ConfigurationError, match="no candidate has succeeded yet"):
        study().best()
    with pytest.raises(ConfigurationError, match="there is no candidate 5; the study has 0"):
        study().candidate(5)


def test_an_optimizer_that_proposes_otherwise_than_recorded_is_not_followed(study, install_plugin, history):
    found = study("a.db").optimize(4)
    before = history(found)

    class Drifted(registry.load("optimizers", "random")):
        def __init__(self, space, directions, seed, **options):
            super().__init__(space, directions, seed + 1, **options)

    install_plugin("optimizers", "random", Drifted)
    with pytest.raises(OptimizerError, match="'random' proposes other genomes in ask 0 than are recorded"):
        found.optimize(6)
    assert history(found) == before, "nothing is recorded beside what it contradicts"


def test_a_checkpoint_that_has_changed_is_refused_and_one_put_back_is_not(study, checkpoints, tmp_path):
    folder = tmp_path / "models"
    for name in ("base", "one", "two"):
        shutil.copytree(checkpoints / name, folder / name)
    study(folder=folder).optimize(2)
    write_tiny(folder / "two", seed=9, change=0.3)
    with pytest.raises(ConfigurationError, match=r"two' has changed since the study began .* put the old one back"):
        study(folder=folder).optimize(4)
    shutil.copytree(checkpoints / "two", folder / "two", dirs_exist_ok=True)
    assert len(study(folder=folder).optimize(4).candidates) == 4


@pytest.mark.parametrize(
    "settings",
    [
        {"seed": 4},
        {"optimizer": "ga"},
        {"finalists": 3},
        {"merge": ht.Merge("ties")},
        {"optimizer": "ga", "population": 8},
    ],
)
def test_a_name_that_is_taken_by_another_study(settings, study):
    study()
    with pytest.raises(ConfigurationError, match="'tiny' is in the database with other settings"):
        study(**settings)


@pytest.mark.parametrize("candidates", [0, -1, 2.5, "many"])
def test_a_budget_that_is_none(candidates, study):
    with pytest.raises(ConfigurationError, match="candidates"):
        study().optimize(candidates)


def test_one_objective_is_not_given_twice(study, words):
    with pytest.raises(ConfigurationError, match="'accuracy words'"):
        study(objectives=[ht.maximize("accuracy", task=words, items=10)] * 2)


def test_an_optimizer_of_one_objective_refuses_two(study, words):
    goals = [ht.maximize("accuracy", task=words, items=10), ht.minimize("bytes")]
    with pytest.raises(ConfigurationError, match=r"takes one objective, and there are 2; these take several: .*nsga2"):
        study(objectives=goals, optimizer="ga").optimize(2)
