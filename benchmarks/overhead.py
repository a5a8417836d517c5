"""What a study costs besides evaluating: ask + store + dispatch + tell, per candidate.

    python -m benchmarks.overhead [--quick] [--json FILE] [--database sqlite postgresql] [--without-celery]
        [--largest N]

Everything is real but the evaluator, which answers 100 items at once: optimizer (random), search loop, database, local
executor, progress. Asks come in generations of 20, and one by one (steady state). The cost at N candidates is the mean
over the last of them (a tenth, at most 1,000) of a study that was run from its first. Beside it Optuna's RDB storage on
the same kind of database in the same run: ask, suggest and tell of random search, one trial at a time, with as many
parameters and values; it stores no responses and dispatches nothing. Its studies are filled up to N in bulk (see
`optuna_storage.py`).

Over Celery a tiny real model is evaluated by a worker process, whose own seconds are taken off (see
`celery_overhead.py`). What grows with a study is the database's share, which is measured in-process.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from heterosis.core import registry
from heterosis.core.contracts import Executor
from heterosis.core.estimate import Estimate
from heterosis.core.genome import Genome, content_hash
from heterosis.search.eval_keys import EvaluationKeys
from heterosis.search.full_scoring import FullScoring
from heterosis.search.loop import SearchLoop
from heterosis.search.progress import silent
from heterosis.search.reporter import Reporter
from heterosis.search.steady_loop import SteadyLoop
from heterosis.storage import ItemSet, NewProposal, Responses, Store

from .bars import Bar, finish, parser
from .celery_overhead import celery_overhead
from .databases import KINDS, databases
from .optuna_storage import OptunaStudy
from .weightless import RandomInGenerations, WeightlessEvaluator, random_in_generations, weightless_spec

GENES, ITEMS = 4, 100
SIZES, QUICK_SIZES = (100, 1_000, 10_000, 100_000), (100, 400)
ONE_BY_ONE = 10_000
"""Up to so many candidates one by one: what grows with a study is the same, and it takes twice as long."""
CELERY_SIZES = {False: 1_000, True: 60}
MOST_MEASURED = 1_000
IN_PROCESS_MS, CELERY_MS, GROWTH, ROWS_PER_SECOND = 5.0, 25.0, 1.5, 50_000.0
ITEMS_STORED = 1_000


def main() -> None:
    arguments = options()
    sizes = QUICK_SIZES if arguments.quick else tuple(size for size in SIZES if size <= arguments.largest)
    rows: list[tuple[str, ...]] = []
    bars: list[Bar] = []
    for kind in arguments.database:
        with databases(kind) as new:
            for way, run in {"generations of 20": in_generations, "one by one": steady}.items():
                if arguments.quick and run is steady and kind == "postgresql":
                    continue
                measured = tuple(size for size in sizes if run is not steady or size <= ONE_BY_ONE)
                costs = in_process(new(f"ours_{run.__name__}"), measured, run)
                rows.append(row(f"{kind}, {way}", costs, len(sizes)))
                bars += bars_of(f"{kind}, {way}", costs, measured, arguments.quick)
            rows.append(row(f"{kind}, Optuna", optuna_costs(new("optuna"), sizes), len(sizes)))
            if kind == "postgresql":
                bars.append(Bar("responses stored per second, postgresql", stored(new("stored")), ROWS_PER_SECOND))
            if not arguments.without_celery:
                size = CELERY_SIZES[arguments.quick]
                cost = celery_overhead(new("celery"), size)
                rows.append((f"{kind}, Celery", f"{cost:.2f} of {size:,}", *[""] * len(sizes)))
                bars.append(Bar(f"{kind}, over Celery: ms", cost, at_most=CELERY_MS))
    columns = ("database, way", *(f"at {size:,}" for size in sizes), "growth")
    title = "Milliseconds per candidate besides its evaluation, at so many candidates"
    finish(title, columns, rows, bars, arguments.json)


def options() -> argparse.Namespace:
    given = parser(__doc__)
    given.add_argument("--database", nargs="+", choices=KINDS, default=list(KINDS))
    given.add_argument("--largest", type=int, default=max(SIZES), metavar="N", help="studies of at most N candidates")
    given.add_argument("--without-celery", action="store_true", help="without broker and worker process")
    return given.parse_args()


@dataclass
class Clock:
    """When how many candidates were over."""

    laps: list[tuple[int, float]] = field(default_factory=lambda: [(0, time.perf_counter())])

    def __call__(self, *_: str) -> None:
        self.laps.append((len(self.laps), time.perf_counter()))

    def milliseconds_at(self, size: int) -> float:
        """Mean of a candidate, over the last of the first `size`."""
        first = size - min(max(size // 10, 2 * RandomInGenerations.size), MOST_MEASURED)
        return 1e3 * (self.laps[size][1] - self.laps[first][1]) / (size - first)


def in_process(url: str, sizes: Sequence[int], run: Callable[..., None]) -> list[float]:
    """Milliseconds per candidate at each size, of one study that is run to the largest."""
    clock = Clock()
    with Store.open(url) as store, random_in_generations():
        run(store, max(sizes), clock)
    return [clock.milliseconds_at(size) for size in sizes]


def in_generations(store: Store, candidates: int, clock: Clock) -> None:
    bench = Bench(store, RandomInGenerations.name, candidates, clock)
    SearchLoop(bench.spec, bench.study_id, store, bench.scoring).run(candidates, bench.evaluated)


def steady(store: Store, candidates: int, clock: Clock) -> None:
    bench = Bench(store, "random", candidates, clock)
    loop = SteadyLoop(bench.spec, bench.study_id, store, bench.scoring, bench.executor)
    loop.run(candidates, bench.evaluated)


class Bench:
    """A weightless study with all that its loop needs."""

    def __init__(self, store: Store, optimizer: str, candidates: int, clock: Clock) -> None:
        self.spec = weightless_spec("weightless", GENES, optimizer)
        self.study_id = store.studies.create("weightless", {}, self.spec.seed, {}).id
        store.studies.set_state(self.study_id, "running")
        evaluator = WeightlessEvaluator(self.spec, ITEMS)
        self.executor: Executor = registry.load("executors", "local")(store, evaluator)
        self.scoring = FullScoring(self.spec, store, self.executor, EvaluationKeys(evaluator))  # type: ignore[arg-type]
        self._reporter = Reporter(store, self.study_id, self.spec.objectives[0], "search", candidates, silent)
        self._clock = clock

    def evaluated(self, *ids: str) -> None:
        """What a study does after each evaluation, and the clock."""
        self._reporter(*ids)
        self._clock(*ids)


def optuna_costs(url: str, sizes: Sequence[int]) -> list[float]:
    """Milliseconds per trial at each size: of the last of them, the others are filled in."""
    study = OptunaStudy(url, GENES)
    study.run(5)  # tables and caches are made with the first
    costs = []
    for size in sizes:
        measured = min(max(size // 10, 40), 100)
        study.fill(size - measured)
        study.run(1)  # reads what was filled in, which nobody has to do twice
        costs.append(1e3 * study.run(measured - 1))
    study.close()
    return costs


def stored(url: str, evaluations: int = 50) -> float:
    """Item responses recorded per second of `Results.finish`, 1,000 of them in each evaluation."""
    item_ids = tuple(f"q{number}" for number in range(ITEMS_STORED))
    responses = [
        Responses("questions", ItemSet(content_hash(list(item_ids)), item_ids), (0.0, 1.0) * (ITEMS_STORED // 2))
    ]
    measured = {"accuracy": Estimate(0.5, 0.02, ITEMS_STORED)}
    with Store.open(url) as store:
        study = store.studies.create("stored", {}, 0, {})
        proposals = [
            NewProposal(Genome({"weight": float(n)}), {"n": n}, content_hash([n]), content_hash({"n": n}), "random")
            for n in range(evaluations + 1)
        ]
        searches = [candidate.evaluations["search"].id for candidate in store.asks.record(study.id, 0, proposals)]
        attempts = [store.queue.claim(search, "benchmark") for search in searches]
        started = time.perf_counter()
        for place, (search, attempt) in enumerate(zip(searches, attempts, strict=True)):
            assert attempt is not None
            if place == 1:  # the first one writes the item set, too
                started = time.perf_counter()
            store.results.finish(search, attempt, responses, measured, {})
        return evaluations * ITEMS_STORED / (time.perf_counter() - started)


def bars_of(name: str, costs: Sequence[float], sizes: Sequence[int], quick: bool) -> list[Bar]:
    bars = [Bar(f"{name}: ms at {sizes[-1]:,}", costs[-1], at_most=IN_PROCESS_MS)]
    if not quick:
        bars.append(Bar(f"{name}: growth from 1,000 to {sizes[-1]:,}", costs[-1] / costs[1], at_most=GROWTH))
    return bars


def row(name: str, costs: Sequence[float], columns: int) -> tuple[str, ...]:
    """Growth is from 1,000 candidates (with fewer sizes, from the smallest) to the largest."""
    growth = f"{costs[-1] / costs[min(1, len(costs) - 2)]:.2f}x" if len(costs) > 1 else ""
    return (name, *(f"{cost:.2f}" for cost in costs), *[""] * (columns - len(costs)), growth)


if __name__ == "__main__":
    main()
