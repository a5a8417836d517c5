"""A study in steady state through the Python API: on the local device its course is as certain as in turns."""

import pytest
from heterosis.core.errors import ConfigurationError


def test_estimated_fitness_is_refused_with_what_to_do(study):
    with pytest.raises(ConfigurationError, match=r"`fitness: full` \(--fitness full\) or `steady_state: false`"):
        study(fitness="auto", steady_state=True)


def test_a_study_in_steady_state_from_the_first_line_to_the_report(study, history):
    heard = []
    found = study("a.db", optimizer="ga", population=3, steady_state=True).optimize(8, heard.append)
    searched = [progress for progress in heard if progress.stage == "search"]
    assert [(progress.done, progress.whole) for progress in searched] == [(done, 8) for done in range(1, 9)]
    assert searched[-1].best.startswith("candidate ")
    assert history(found) == history(study("b.db", optimizer="ga", population=3, steady_state=True).optimize(8))


@pytest.mark.parametrize("after", [1, 3, 4])
def test_an_interruption_in_a_notebook_changes_nothing(after, study, history):
    heard = []

    def interrupt(progress):
        heard.append(progress)
        if len(heard) == after:
            raise KeyboardInterrupt

    found = study("a.db", optimizer="de", steady_state=True)
    with pytest.raises(KeyboardInterrupt):
        found.optimize(6, interrupt)
    found.optimize(6)
    assert history(found) == history(study("b.db", optimizer="de", steady_state=True).optimize(6))


def test_the_mode_is_a_setting_of_a_study(study):
    study("a.db", steady_state=True)
    with pytest.raises(ConfigurationError, match="with other settings"):
        study("a.db")
