"""Progress that is kept up to date from what has changed says what reading everything would say."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from heterosis.core.estimate import Estimate
from heterosis.core.genome import Genome, content_hash
from heterosis.core.study_spec import ObjectiveSpec
from heterosis.search.progress import Progress
from heterosis.search.reporter import Reporter
from heterosis.search.tally import Tally
from heterosis.storage import ItemSet, NewProposal, Responses, Store, StudyRecord
from heterosis.storage.stage_figures import StageFigure
from hypothesis import given
from hypothesis import strategies as st

OBJECTIVE = ObjectiveSpec("accuracy", "maximize", label="accuracy")


def _figure(number: int, mean: float | None, failed: bool = False) -> StageFigure:
    value = None if mean is None else Estimate(mean, 0.25, 4)
    return StageFigure(f"e{number}", f"c{number}", "bred", number, None, failed, None, value, 0)


@given(st.lists(st.tuples(st.integers(0, 5), st.one_of(st.none(), st.floats(0, 1)))))
def test_the_best_is_the_best_of_what_was_seen_last(seen: list[tuple[int, float | None]]) -> None:
    tally = Tally(OBJECTIVE, cautious=False)
    latest: dict[int, float] = {}
    for number, mean in seen:
        tally.update([_figure(number, mean)])
        if mean is not None:
            latest[number] = mean
    assert len(tally.over) == len(latest)
    expected = min(latest, key=lambda number: (-latest[number], number)) if latest else None
    assert (None if tally.best is None else tally.best[0].number) == expected


def test_what_failed_is_over_and_never_the_best() -> None:
    tally = Tally(OBJECTIVE, cautious=False)
    tally.update([_figure(0, None, failed=True), _figure(1, 0.5), _figure(1, 0.5)])
    assert (len(tally.over), len(tally.failed)) == (2, 1)
    assert tally.best is not None
    assert tally.best[0].number == 1


class Bench:
    """A study whose candidates are evaluated by hand."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.study: StudyRecord = store.studies.create("first", {}, seed=7, plugin_versions={})
        store.studies.set_state(self.study.id, "running")
        recipes = [{"n": n} for n in range(4)]
        self.candidates = store.asks.record(
            self.study.id,
            0,
            [
                NewProposal(Genome({"w": float(r["n"])}), r, content_hash(r), content_hash([r]), "random")
                for r in recipes
            ],
        )

    def evaluate(self, number: int, mean: float | None) -> str:
        evaluation = self.candidates[number].evaluations["search"].id
        attempt = self.store.queue.claim(evaluation, "me")
        assert attempt is not None
        if mean is None:
            self.store.results.fail(evaluation, attempt, "weights", "not finite")
        else:
            answered = Responses("maths", ItemSet(content_hash(["q"]), ("q",)), (mean,))
            self.store.results.finish(evaluation, attempt, [answered], {"accuracy": Estimate(mean, 0.0, 1)}, {})
        return evaluation

    def reporter(self, listener: Callable[[Progress], None]) -> Reporter:
        return Reporter(self.store, self.study.id, OBJECTIVE, "search", 4, listener)


@pytest.fixture
def bench(tmp_path):
    with Store.open(tmp_path / "a.db") as store:
        yield Bench(store)


def test_a_listener_hears_the_same_from_a_reporter_that_has_seen_it_all_and_from_a_new_one(bench: Bench) -> None:
    heard: list[Progress] = []
    reporter = bench.reporter(heard.append)
    for number, mean in enumerate((0.5, None, 0.75, 0.25)):
        reporter(bench.evaluate(number, mean))
    assert [progress.done for progress in heard] == [1, 2, 3, 4]
    assert [progress.failed for progress in heard] == [0, 1, 1, 1]
    assert [progress.last for progress in heard] == [f"candidate {number}" for number in range(4)]
    assert [progress.best for progress in heard] == ["candidate 0: 0.500"] * 2 + ["candidate 2: 0.750"] * 2
    anew: list[Progress] = []
    bench.reporter(anew.append)()
    told = [(one.done, one.failed, one.last, one.best) for one in (heard[-1], anew[-1])]
    assert told[0] == told[1]
