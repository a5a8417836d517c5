"""`heterosis fitness`, and what other screens say of scores that are estimated from few items."""

import json
import struct

import numpy as np
import pytest
from heterosis.search.study import Study
from heterosis.service.estimated_history import draw_estimated_history
from heterosis.storage import REST_PART
from matplotlib.figure import Figure

FITNESS = {"estimator": "stratified_mean", "first": 2, "most": 6, "elites": 0.5}


@pytest.fixture(scope="module")
def raced(tmp_path_factory, write_study, heterosis):
    """A folder with a study whose candidates raced, and what `run` printed."""
    folder = write_study(
        tmp_path_factory.mktemp("raced"),
        fitness=FITNESS,
        candidates=12,
        optimizer={"name": "ga", "population": 6},
        watch=[{"minimize": "bytes"}],
    )
    return folder, heterosis(folder, "run", "study.yaml", "--no-export").stdout


def png_size(path):
    return struct.unpack(">II", path.read_bytes()[16:24])


def test_a_run_says_how_many_items_it_asks(raced):
    folder, printed = raced
    assert "fitness    stratified_mean, 2 to 6 of 12 items" in printed
    assert "loading the model, the sources answer every item" in printed
    assert "items asked, best candidate" in [line for line in printed.splitlines() if line.startswith("search ")][-1]
    assert png_size(folder / "tiny" / "history.png")[1] > 500


def test_estimates_are_marked_as_such(raced, heterosis):
    folder, _ = raced
    searched = next(line for line in heterosis(folder, "best").stdout.splitlines() if line.startswith("search"))
    content = json.loads(heterosis(folder, "best", "--json").stdout)["measurements"]["search"]["accuracy words"]
    assert (f"from {content['items']} items" in searched) == (content["items"] < 12)
    status = json.loads(heterosis(folder, "status", "--json").stdout)
    assert status["items"] == 12
    marked = f"estimated from {status['best_items']} of 12 items" in heterosis(folder, "status").stdout
    assert marked == (status["best_items"] is not None)
    assert "items asked" in heterosis(folder, "front").stdout


def test_the_report_counts_and_compares_and_a_check_completes_it(raced, heterosis):
    folder, _ = raced
    before = json.loads(heterosis(folder, "fitness", "--json").stdout)
    assert before["asked"]["least"] == 2
    assert before["asked"]["full"] == before["candidates"] * 12
    assert before["speed_up"] == pytest.approx(before["asked"]["full"] / before["asked"]["in_all"])
    assert before["answered_everything"]["sources"] == 2
    last = before["last_generation"]
    printed = heterosis(folder, "fitness").stdout
    assert f"{last['known']} of {last['candidates']} candidates have answered every item" in printed
    assert "heterosis fitness tiny --check" in printed

    checked = heterosis(folder, "fitness", "--check", "--plot", "fitness.png").stdout
    count = last["candidates"]
    assert f"The last generation answers every item: {count} of {count} done" in checked
    assert f"{count} of {count} candidates have answered every item" in checked
    for words in ("mean error", "bias", "Kendall, accuracy words", "times fewer items", "items more, asked to check"):
        assert words in checked
    assert "--check" not in checked
    width, height = png_size(folder / "fitness.png")
    assert 1000 <= width <= 2000
    assert 400 <= height <= 1000

    after = json.loads(heterosis(folder, "fitness", "--json").stdout)
    assert after["asked"]["in_all"] == before["asked"]["in_all"]
    assert after["last_generation"]["known"] == count
    (agreement,) = after["agreement"]
    assert agreement["compared"] == len(agreement["candidates"]) >= count
    assert [entry["level"] for entry in agreement["inside"]] == [0.5, 0.8, 0.9, 0.95]


def test_the_best_so_far_is_of_scores_on_items_that_did_not_choose(raced):
    folder, _ = raced
    study = Study.load("tiny", folder / "heterosis.db")
    parts = study.store.queue.parts(study.record.id, "search")
    honest = {}
    for candidate in study.candidates:
        rest = [part for part in parts[candidate.record.id] if part.part == REST_PART]
        if rest and candidate.measurements["search"]["words"].items == 12:
            answers = study.store.results.responses(candidate.record.id, "search")["words"]
            scores = dict(zip(answers.item_set.item_ids, answers.scores, strict=True))
            honest[candidate.record.number] = np.mean([scores[id_] for id_ in rest[0].items["words"]])
    panel = Figure().subplots()
    draw_estimated_history(panel, study)
    handles = dict(zip(*reversed(panel.get_legend_handles_labels()), strict=True))
    elites, best = handles["elite, on items that did not choose it"], handles["best of these so far"]
    assert dict(zip(elites.get_xdata(), elites.get_ydata(), strict=True)) == pytest.approx(honest)
    reached = np.maximum.accumulate(list(honest.values()))
    assert list(best.get_ydata()) == pytest.approx([*reached, reached[-1]])
    assert "estimate, with 68% interval" in handles
    study.close()


def test_where_every_item_was_asked_it_says_so(finished, heterosis, tmp_path):
    folder, _ = finished
    printed = heterosis(folder, "fitness", "--check", "--plot", tmp_path / "full.png").stdout
    assert "Every candidate was asked every one of the 12 search items" in printed
    assert "72" in printed
    content = json.loads(heterosis(folder, "fitness", "--json").stdout)
    assert (content["fitness"], content["speed_up"], content["asked"]["mean"]) == (None, 1.0, 12.0)
    assert png_size(tmp_path / "full.png")[0] > 500


def test_the_command_line_has_the_last_word(tmp_path, write_study, heterosis):
    folder = write_study(tmp_path, fitness=FITNESS, tasks={"words": {"search": "search.jsonl"}}, candidates=2)
    unknown = heterosis(folder, "run", "study.yaml", "--fitness", "stratified_meen", code=1)
    assert "Did you mean 'stratified_mean'?" in unknown.stderr
    assert not (folder / "heterosis.db").exists()
    other = heterosis(folder, "run", "study.yaml", "--no-export", "--fitness", "random_mean").stdout
    assert "random_mean, 2 to 6 of 12 items" in other
    full = heterosis(folder, "run", "study.yaml", "--no-export", "--fitness", "full", "--name", "full").stdout
    assert "fitness " not in full


def test_what_cannot_be_estimated_is_refused_before_anything_is_recorded(tmp_path, write_study, heterosis):
    folder = write_study(tmp_path, objectives=[{"minimize": "bytes"}])
    refused = heterosis(folder, "run", "study.yaml", "--fitness", "stratified_mean", code=1)
    assert "nothing to estimate" in refused.stderr
    folder = write_study(tmp_path)
    refused = heterosis(folder, "run", "study.yaml", "--fitness", "p_irt", code=1)
    assert "'p_irt' needs 5 models" in refused.stderr
    assert "there are 2 (2 sources, 0 imported)" in refused.stderr
    assert not (folder / "heterosis.db").exists()


def test_many_items_are_worth_a_hint(tmp_path, write_study, choice_items, write_lines, heterosis):
    folder = write_study(tmp_path, tasks={"words": {"search": "many.jsonl"}})
    write_lines(folder / "many.jsonl", choice_items(101))
    assert "answers all 101 search items. `fitness: auto`" in heterosis(folder, "check", "study.yaml").stdout
    write_lines(folder / "many.jsonl", choice_items(100))
    assert "`fitness: auto`" not in heterosis(folder, "check", "study.yaml").stdout
