"""A tiny study through the Python API."""

import heterosis as ht
import pytest


@pytest.fixture
def words(tmp_path, choice_items, write_lines):
    """A task file of 24 questions."""
    return str(write_lines(tmp_path / "words.jsonl", choice_items(24)))


@pytest.fixture
def study(tmp_path, checkpoints, words):
    """Makes studies of two fine-tunes, 10 questions for the search, in `tmp_path`; all are closed at the end."""
    made = []

    def make(database="a.db", objectives=None, merge=None, folder=checkpoints, **settings):
        space = ht.Space(
            base=str(folder / "base"),
            sources=[str(folder / name) for name in ("one", "two")],
            merge=merge or ht.Merge("task_arithmetic", weight=(0.0, 1.5)),
            relative_to=tmp_path,
        )
        goals = objectives or [ht.maximize("accuracy", task=words, items=10)]
        settings = {"optimizer": "random", "seed": 3, "finalists": 2, **settings}
        made.append(ht.Study("tiny", space, goals, storage=tmp_path / database, **settings))
        return made[-1]

    yield make
    for study in made:
        study.close()


@pytest.fixture
def levelled(tmp_path, checkpoints, words):
    """Makes studies of bit-widths, in `tmp_path`; all are closed at the end."""
    made = []

    def make(database="a.db", budget=4.5, levels=("int2-g16", "int4-g16", "int8-g16"), objectives=None, **settings):
        quantize = ht.Quantize(levels=list(levels), budget=budget)
        space = ht.Space(
            str(checkpoints / "base"),
            [str(checkpoints / name) for name in ("one", "two")],
            ht.Merge("task_arithmetic", weight=(0.0, 1.0)),
            tmp_path,
            quantize,
        )
        goals = objectives or [ht.maximize("accuracy", task=words, items=10)]
        settings = {"optimizer": "level_es", "seed": 3, "finalists": 2, **settings}
        made.append(ht.Study("bits", space, goals, storage=tmp_path / database, **settings))
        return made[-1]

    yield make
    for study in made:
        study.close()


@pytest.fixture
def history():
    """All that a user may see of a study, but for times and ids."""

    def rows(study):
        found = [
            (candidate.name, candidate.genome, candidate.recipe, candidate.record.state, candidate.measurements)
            for candidate in study.candidates
        ]
        return found, study.best().name, study.report()

    return rows
