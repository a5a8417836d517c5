"""A study as the Python API has it: what is searched, what comes of it, and that the seed decides it."""

import heterosis as ht
import pytest
from heterosis.core import registry
from heterosis.core.study_spec import TaskSpec
from heterosis.storage import Store

pytestmark = pytest.mark.end_to_end


def test_a_study_from_the_first_line_to_a_model_that_loads(study, tmp_path):
    from transformers import AutoModelForCausalLM

    found = study().optimize(candidates=6)
    assert len(found.candidates) == 6
    assert found.record.name == "tiny"
    stages = [set(candidate.measurements) for candidate in found.candidates]
    assert stages.count({"search"}) == 4
    assert stages.count({"search", "validation"}) == 1
    best = found.best()
    assert set(best.measurements) == {"search", "validation", "test"}
    assert {stage: figures["words"].items for stage, figures in best.measurements.items()} == {
        "search": 10,
        "validation": 7,
        "test": 7,
    }
    report = found.report()
    assert [row.name for row in report.rows] == ["base", "one", "two", "uniform average", "winner"]
    assert report.columns == ("accuracy words", "words")
    assert report.shares == set(report.columns)
    model = AutoModelForCausalLM.from_pretrained(best.export(tmp_path / "merged"))
    assert sum(parameter.numel() for parameter in model.parameters()) > 0


def test_the_finalist_that_is_best_on_validation_items_wins(study):
    found = study(finalists=3).optimize(candidates=8)
    validated = [c for c in found.candidates if "validation" in c.measurements]
    assert len(validated) == 3
    on_search = sorted((c.measurements["search"]["accuracy words"].mean for c in found.candidates), reverse=True)
    assert sorted((c.measurements["search"]["accuracy words"].mean for c in validated), reverse=True) == on_search[:3]
    best = max(c.measurements["validation"]["accuracy words"].mean for c in validated)
    assert found.best().measurements["validation"]["accuracy words"].mean == best


@pytest.mark.parametrize("optimizer", ["random", "ga", "tpe"])
def test_the_seed_decides_everything(optimizer, study, history):
    once = study("a.db", optimizer=optimizer).optimize(candidates=6)
    again = study("b.db", optimizer=optimizer).optimize(candidates=6)
    other = study("c.db", optimizer=optimizer, seed=4).optimize(candidates=6)
    assert history(once) == history(again)
    assert {c.genome for c in once.candidates} != {c.genome for c in other.candidates}
    items = [[item.id for item in found.items["search"]["words"].items] for found in (once, again, other)]
    assert items[0] == items[1] != items[2]


def test_a_larger_budget_later_gives_what_it_would_have_given_at_once(study, history):
    study("a.db").optimize(candidates=3)
    study("a.db").optimize(candidates=5)
    found = study("a.db").optimize(candidates=8)
    whole = study("b.db").optimize(candidates=8)
    assert [row[:4] for row in history(found)[0]] == [row[:4] for row in history(whole)[0]]
    for mine, its in zip(found.candidates, whole.candidates, strict=True):
        assert mine.measurements["search"] == its.measurements["search"]


def test_the_budget_is_noted_when_the_search_begins(study):
    whole = []

    def look(progress):
        whole.append((progress.whole, found.store.studies.get("tiny").spec["candidates"]))
        raise KeyboardInterrupt

    found = study()
    for budget in (3, 5):
        with pytest.raises(KeyboardInterrupt):
            found.optimize(budget, look)
    assert whole == [(3, 3), (5, 5)]
    again = study()
    assert again.spec.candidates == 5, "who sets the study up again finds the budget as it was"
    assert len(again.optimize().candidates) == 5


def test_a_study_that_is_complete_has_nothing_left_to_evaluate(study, history):
    found = study().optimize(candidates=4)
    before = history(found)
    heard = []
    found.optimize(candidates=4, listener=heard.append)
    assert heard == []
    assert history(found) == before


def test_a_closed_study_gives_back_what_its_executor_held(study, install_plugin):
    closed = []
    local = registry.load("executors", "local")
    install_plugin("executors", "local", type("Closing", (local,), {"close": lambda self: closed.append(self)}))
    untouched, used = study("a.db"), study("b.db").optimize(2)
    untouched.close()
    assert closed == []
    used.close()
    assert len(closed) == 1


def test_duplicates_are_evaluated_once(study):
    found = study(merge=ht.Merge(["task_arithmetic", "linear", "ties"], weight=1.0, density=0.5)).optimize(20)
    assert 1 < len(found.candidates) <= 3
    asks = found.store.asks.all(found.record.id)
    assert sum(len(ask.candidates) for ask in asks) == 20
    evaluations = [candidate.record.evaluations["search"] for candidate in found.candidates]
    assert [evaluation.attempt for evaluation in evaluations] == [1] * len(found.candidates)


@pytest.mark.parametrize("after", [1, 3, 4, 6])
def test_an_interruption_in_a_notebook_changes_nothing(after, study, history):
    heard = []

    def interrupt(progress):
        heard.append(progress)
        if len(heard) == after:
            raise KeyboardInterrupt

    found = study("a.db")
    with pytest.raises(KeyboardInterrupt):
        found.optimize(3, interrupt)
    assert found.store.studies.get("tiny").state == "paused"
    found.optimize(3)
    assert found.store.studies.get("tiny").state == "complete"
    assert history(found) == history(study("b.db").optimize(3))


def test_progress_counts_every_stage(study):
    heard = []
    study().optimize(4, heard.append)
    assert [(p.stage, p.done, p.whole) for p in heard] == [
        *(("search", done, 4) for done in range(1, 5)),
        *(("validation", done, 2) for done in range(1, 3)),
        *(("test", done, 5) for done in range(1, 6)),
    ]
    assert all(p.best.startswith("candidate ") and p.failed == 0 for p in heard if p.stage != "test")


def test_several_objectives_and_their_front(study, words, tmp_path):
    lines = (f"every good boy deserves {number} fudges while nobody knows where they went" for number in range(8))
    (tmp_path / "text.txt").write_text("\n".join(lines))
    goals = [
        ht.maximize("accuracy", task=words, items=10),
        ht.minimize("bytes"),
        ht.minimize("perplexity", task=str(tmp_path / "text.txt"), items=3, type="perplexity", characters=70),
    ]
    found = study(objectives=goals, optimizer="nsga2", population=4).optimize(12)
    values = {
        c.name: tuple(c.measurements["search"][o.label].mean for o in found.spec.objectives) for c in found.candidates
    }
    signed = {name: (-accuracy, nbytes, perplexity) for name, (accuracy, nbytes, perplexity) in values.items()}

    def dominated(mine):
        return any(its != mine and all(a <= b for a, b in zip(its, mine, strict=True)) for its in signed.values())

    front = [candidate.name for candidate in found.front()]
    assert set(front) == {name for name, mine in signed.items() if not dominated(mine)}
    assert [signed[name][0] for name in front] == sorted(signed[name][0] for name in front)
    assert found.report().columns == ("accuracy words", "words", "text")
    assert found.report().shares == {"accuracy words", "words"}


def test_equal_work_is_shared_between_the_studies_of_a_database(study, tmp_path, checkpoints, words):
    first = study().optimize(3)
    again = ht.Study("another", first.spec.space, [ht.maximize("accuracy", task=words, items=10)], "random", 3,
                     tmp_path / "a.db", 2)  # fmt: skip
    again.optimize(3)
    assert [c.measurements for c in again.candidates] == [c.measurements for c in first.candidates]
    assert all(c.record.evaluations["search"].seconds == {} for c in again.candidates), "copied, not asked"
    again.close()


def test_without_test_items_there_is_no_report(study, words):
    goals = [ht.maximize("accuracy", task={"words": TaskSpec("multiple_choice", files={"search": words}, items=10)})]
    found = study(objectives=goals).optimize(3)
    assert found.report() is None
    assert found.best().name in {candidate.name for candidate in found.candidates}
    assert found.record.id == found.store.studies.get("tiny").id


def test_before_the_test_items_are_asked_there_is_no_report(study):
    found = study()

    def stop(progress):
        if progress.stage == "test":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        found.optimize(3, stop)
    assert found.report() is None


def test_a_recorded_study_is_loaded_with_its_paths_and_goes_on(study, tmp_path, history, monkeypatch):
    study("a.db").optimize(3)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    loaded = ht.Study.load("tiny", tmp_path / "a.db")
    assert history(loaded.optimize(5))[1:] == history(study("b.db").optimize(5))[1:]
    loaded.close()
    with Store.open(tmp_path / "a.db") as store:
        assert [record.name for record in store.studies.all()] == ["tiny"]
