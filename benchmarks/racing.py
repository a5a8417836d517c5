"""Who are the best of 64 models, from 15 items each? Racing against asking everybody the same.

    python -m benchmarks.racing [--quick] [--json FILE] [--matrices DIR] [--estimators NAME ...]

From every response matrix of the folder 64 models are drawn as candidates; the others are the references. Compared
are the plain mean of 80 random items, greedy BLUP on its first 20 items, and races with several estimators, each by how
many items a candidate was asked on average, how many points the chosen model is below the best (top-1 regret), and how
many points the mean of the chosen five is below that of the best five (top-5 regret). Regrets are of true scores, on
all items. Besides, `auto` on 80 items of every candidate: what a race could hardly do better than. Means over repeats,
with their standard errors, then over matrices.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy is imported: small matrices, faster without threads

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from heterosis.core.contracts.estimator import Estimator, Matrix, Places, References
from heterosis.fitness.estimators.files import make
from heterosis.fitness.panel import Aim, Panel
from heterosis.fitness.racing import Race
from rich.progress import track

from .bars import Bar, finish, parser
from .response_splits import matrices

RESPONSES = Path(__file__).parent / "responses"
CANDIDATES = 64
REPEATS, QUICK_REPEATS = 20, 4
ESTIMATORS = ("stratified_mean", "blup", "c_optimal", "auto")
QUICK = ("stratified_mean", "auto")
RANDOM_ITEMS, BLUP_ITEMS, AUTO_ITEMS = 80, 20, 80
STEP = 5
BEST = 5
MOST_ITEMS, MOST_REGRET = 15.0, 0.4
JUDGED = "race, auto"


class Result(NamedTuple):
    """Items per candidate, and regrets in points."""

    items: float
    first: float
    five: float


Fitted: TypeAlias = Callable[[str], Estimator]
Way: TypeAlias = Callable[[Matrix, Fitted, int], Result]


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--matrices", type=Path, metavar="DIR", default=RESPONSES, help="a folder of .npz files")
    options.add_argument("--estimators", nargs="+", metavar="NAME", help="race with these only")
    options.add_argument("--repeats", type=int, help=f"per matrix (default {REPEATS}, quick: {QUICK_REPEATS})")
    arguments = options.parse_args()
    names = arguments.estimators or (QUICK if arguments.quick else ESTIMATORS)
    repeats = arguments.repeats or (QUICK_REPEATS if arguments.quick else REPEATS)
    ways = ways_of(names)
    found = matrices(arguments.matrices)
    results = {name: trials(name, responses, ways, repeats) for name, responses in found.items()}
    rows = []
    for way in ways:
        for matrix, by_way in results.items():
            rows.append((way, matrix, *figures(np.array(by_way[way])[None])))
        rows.append((way, "mean", *figures(np.array([by_way[way] for by_way in results.values()]))))
    bars = []
    if JUDGED in ways:
        items, _, five = np.mean([by_way[JUDGED] for by_way in results.values()], axis=(0, 1)).tolist()
        bars = [
            Bar(f"{JUDGED}: items per candidate", items, at_most=MOST_ITEMS),
            Bar(f"{JUDGED}: top-5 regret in points", five, at_most=MOST_REGRET),
        ]
    columns = ("way", "matrix", "items", "top-1 regret", "top-5 regret")
    title = f"{CANDIDATES} candidates, {repeats} repeats per matrix (± standard error)"
    finish(title, columns, rows, bars, arguments.json)


def ways_of(estimators: tuple[str, ...]) -> Mapping[str, Way]:
    """Every way to choose the best, by what the table calls it."""
    return {
        f"{RANDOM_ITEMS} random items": random_items,
        f"blup, {BLUP_ITEMS} items": partial(everybody, "blup", BLUP_ITEMS),
        **{f"race, {name}": partial(race, name) for name in estimators},
        **({f"auto, {AUTO_ITEMS} items": partial(everybody, "auto", AUTO_ITEMS)} if "auto" in estimators else {}),
    }


def trials(name: str, responses: Matrix, ways: Mapping[str, Way], repeats: int) -> dict[str, list[Result]]:
    results: dict[str, list[Result]] = {way: [] for way in ways}
    for repeat in track(range(repeats), description=name, transient=True):
        lots = np.random.default_rng([repeat, len(responses)]).permutation(len(responses))
        answers, references = responses[lots[:CANDIDATES]], References(responses[lots[CANDIDATES:]])
        known: dict[str, Estimator] = {}
        for way, choose in ways.items():
            results[way].append(choose(answers, partial(fitted, known, references), repeat))
    return results


def fitted(known: dict[str, Estimator], references: References, name: str) -> Estimator:
    if name not in known:
        known[name] = make(name)
        known[name].fit(references)
    return known[name]


def random_items(answers: Matrix, _: Fitted, repeat: int) -> Result:
    chosen = np.random.default_rng(repeat).permutation(answers.shape[1])[:RANDOM_ITEMS]
    return judged(np.argsort(-answers[:, chosen].mean(axis=1), kind="stable"), answers, chosen.size)


def everybody(name: str, count: int, answers: Matrix, fitted: Fitted, _: int) -> Result:
    estimator = fitted(name)
    seen = np.full_like(answers, np.nan)
    for _ in range(0, count, STEP):
        places = estimator.next_items(seen, STEP)
        np.put_along_axis(seen, places, np.take_along_axis(answers, places, axis=1), axis=1)
    return judged(np.argsort(-estimator.estimate(seen).mean, kind="stable"), answers, count)


def race(name: str, answers: Matrix, fitted: Fitted, repeat: int) -> Result:
    panel = Panel({"task": fitted(name)}, {"task": answers.shape[1]}, [Aim(("task",))], seed=repeat)
    race = Race(panel, len(answers))
    while asked := race.ask():
        race.tell({number: answers[number, places] for number, places in asked.items()})
    return judged(race.order(), answers, float(race.asked.mean()))


def judged(order: Places, answers: Matrix, items: float) -> Result:
    """How far the first, and the first five, are below the best, in points."""
    scores = 100.0 * answers.mean(axis=1)
    best = np.sort(scores)[::-1]
    return Result(items, best[0] - scores[order[0]], best[:BEST].mean() - scores[order[:BEST]].mean())


def figures(results: Matrix) -> tuple[str, str, str]:
    """Of results, shape (matrices, repeats, 3): means, and standard errors of the regrets."""
    items, first, five = results.mean(axis=(0, 1))
    errors = np.sqrt((results.var(axis=1, ddof=1) / results.shape[1]).sum(axis=0)) / len(results)
    return f"{items:.1f}", f"{first:.2f} ± {errors[1]:.2f}", f"{five:.2f} ± {errors[2]:.2f}"


if __name__ == "__main__":
    main()
