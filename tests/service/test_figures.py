"""Figures of studies whose values are made up."""

from types import SimpleNamespace

import numpy as np
import pytest
from heterosis.core.errors import ConfigurationError, StorageError
from heterosis.core.estimate import Estimate
from heterosis.core.study_spec import ObjectiveSpec
from heterosis.search.ranking import front_of, ranked
from heterosis.service.figures import axes_of, plot_front, plot_history

SKILLS = tuple(ObjectiveSpec("accuracy", "maximize", (task,)) for task in ("italian", "addition", "logic"))
SIZE = ObjectiveSpec("bytes", "minimize")


def made_up(objectives, watch=(), constant=(), failures=2):
    random = np.random.default_rng(0)
    records = []
    for number in range(30):
        figures = {o.label: Estimate(float(random.random()), 0.1, 20) for o in (*objectives, *watch)}
        figures |= {o.label: Estimate(5e8, 0.0, 1) for o in constant}
        failed = number < failures
        records.append(
            SimpleNamespace(
                id=str(number),
                number=number,
                state="failed" if failed else "complete",
                measurements={} if failed else {"search": figures},
            )
        )
    candidates = {record.id: SimpleNamespace(record=record) for record in records}
    return SimpleNamespace(
        spec=SimpleNamespace(name="made up", objectives=objectives, watch=watch, fitness=None),
        candidates=list(candidates.values()),
        front=lambda: [candidates[record.id] for record in front_of(records, (*objectives, *watch))],
        best=lambda: candidates[ranked(records, objectives[0])[0].id],
    )


@pytest.mark.parametrize("objectives", [SKILLS[:1], SKILLS[:2], SKILLS, (SKILLS[0], SIZE)])
def test_both_figures_for_any_number_of_objectives(objectives, tmp_path):
    study = made_up(objectives)
    assert plot_history(study, tmp_path / "history.png").stat().st_size > 10_000
    if len(objectives) > 1:
        assert plot_front(study, tmp_path / "front.png").stat().st_size > 10_000


def test_watched_skills_get_the_axes_when_the_objective_is_one():
    mean = (ObjectiveSpec("accuracy", "maximize", ("italian", "addition", "logic"), label="mean"),)
    assert axes_of(made_up(mean, SKILLS)) == SKILLS
    assert axes_of(made_up(SKILLS[:2], SKILLS[2:])) == SKILLS


def test_what_never_varies_gets_no_axis():
    assert axes_of(made_up(SKILLS[:2], (SIZE,), constant=(SIZE,))) == SKILLS[:2]
    assert axes_of(made_up(SKILLS[:1], (SIZE,), constant=(SIZE,))) == (SKILLS[0], SIZE)


def test_other_formats_and_refusals(tmp_path):
    study = made_up(SKILLS[:2])
    assert b"<svg" in plot_front(study, tmp_path / "front.svg").read_bytes()
    with pytest.raises(ConfigurationError, match=r"\.png, \.svg or \.pdf"):
        plot_front(study, tmp_path / "front.txt")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        plot_front(study, tmp_path / "file" / "front.png")
    with pytest.raises(ConfigurationError, match="history"):
        plot_front(made_up(SKILLS[:1]), tmp_path / "front.png")
