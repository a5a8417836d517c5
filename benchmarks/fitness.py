"""How well estimators know a model's score from few items: error, ranking, honest intervals, and seconds.

    python -m benchmarks.fitness [--quick] [--json FILE] [--matrices DIR] [--estimators NAME ...] [--processes 2]

Every response matrix of the folder is split in four ways (`response_splits.py`): a random quarter of the models is held
out, whole clusters that answer alike, the best fifth, and the best fifth with five of them known. Each estimator learns
from the rest and asks the models held out 10, 20, 50 and 100 items; an adaptive one chooses each item after the last
response. In the table are means over repeats, then over matrices: error, bias and regret (of choosing the best tenth)
in points, coverage of the nominal 90% intervals that users see. The JSON has them per matrix too. Bars are ratios of
errors in the same run, coverages, and seconds for 250 models and 750 items, of one process while no other runs.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy is imported: processes share the cores, not threads

import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from heterosis.core import registry
from heterosis.core.contracts.estimator import Matrix, References

from .bars import Bar, finish, parser
from .response_splits import SPLITS, matrices
from .score_trials import Figures, Trial, seconds

RESPONSES = Path(__file__).parent / "responses"
COUNTS = (10, 20, 50, 100)
REPEATS = 5
MODELS, ITEMS = 250, 750
"""The size at which seconds are measured."""
FIT_SECONDS, ESTIMATE_MILLISECONDS = 10.0, 5.0
QUICK, QUICK_SPLITS = ("random_mean", "stratified_mean", "gp_irt", "auto"), ("random", "clusters")
OPTIONS: Mapping[str, Mapping[str, Any]] = {}
"""Of an estimator, where they are not the default ones."""
FIGURES = ("error", "bias", "spearman", "kendall", "regret", "coverage", "fit_seconds", "estimate_milliseconds")
COLUMNS = (
    "split", "n", "estimator", "error", "bias", "Spearman", "Kendall", "regret", "coverage", "fit s", "estimate ms",
)  # fmt: skip


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--matrices", type=Path, metavar="DIR", default=RESPONSES, help="a folder of .npz files")
    options.add_argument("--estimators", nargs="+", metavar="NAME", help="these only (default: all that are installed)")
    options.add_argument("--splits", nargs="+", choices=tuple(SPLITS), help="these only (quick: random, clusters)")
    options.add_argument("--repeats", type=int, default=None, help=f"of each split (default {REPEATS}, quick: 1)")
    options.add_argument("--processes", type=int, default=os.cpu_count(), help="trials at a time")
    arguments = options.parse_args()
    found = matrices(arguments.matrices)
    names = arguments.estimators or (QUICK if arguments.quick else registry.names("estimators"))
    splits = arguments.splits or (QUICK_SPLITS if arguments.quick else tuple(SPLITS))
    repeats = arguments.repeats or (1 if arguments.quick else REPEATS)
    estimators = {name: (name, OPTIONS.get(name, {})) for name in names}
    trials = [
        Trial(matrix, split, repeat, estimators, COUNTS)
        for repeat in range(repeats)
        for matrix in found
        for split in splits
    ]
    figures = run(trials, found, arguments.processes)
    table = Table(figures)
    measured = {name: timing(name, found) for name in names if name == "auto" or not arguments.quick}
    title = f"Scores from few items: {len(found)} matrices, {repeats} repeats of each split"
    details = {"by_matrix": table.by_matrix(), "seconds": measured}
    finish(title, COLUMNS, table.rows(), [*table.bars(), *time_bars(measured)], arguments.json, details)


def run(trials: Sequence[Trial], responses: Mapping[str, Matrix], processes: int) -> list[Figures]:
    """The figures of all trials, in their order; says on stderr how far it is."""
    done: dict[int, list[Figures]] = {}
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        waiting = {pool.submit(trial.run, responses[trial.matrix]): place for place, trial in enumerate(trials)}
        for future in as_completed(waiting):
            done[waiting[future]] = future.result()
            print(f"\r{len(done)} of {len(trials)} trials", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return [one for place in range(len(trials)) for one in done[place]]


class Table:
    """Means of the figures over repeats and matrices."""

    def __init__(self, figures: Sequence[Figures]) -> None:
        self.figures = figures
        self.names, self.splits, self.matrices = (_distinct(figures, key) for key in ("estimator", "split", "matrix"))

    def mean(self, figure: str, name: str, split: str, items: int, matrix: str | None = None) -> float:
        """Over repeats of one matrix, or over those and then over matrices."""
        if matrix is None:
            return float(np.mean([self.mean(figure, name, split, items, each) for each in self.matrices]))
        return float(np.mean([one[figure] for one in self._of(name, split, items, matrix)]))

    def _of(self, *key: object) -> list[Figures]:
        """The figures of an estimator, a split, a number of items and a matrix, one for each repeat."""
        return [one for one in self.figures if (one["estimator"], one["split"], one["items"], one["matrix"]) == key]

    def rows(self) -> list[tuple[str, ...]]:
        """Of the printed table."""
        found: list[tuple[str, ...]] = []
        for split in self.splits:
            for items in COUNTS:
                for name in self.names:
                    error, bias, spearman, kendall, regret, coverage, fit, estimate = (
                        self.mean(figure, name, split, items) for figure in FIGURES
                    )
                    quality = (f"{error:.2f}", f"{bias:+.2f}", f"{spearman:.3f}", f"{kendall:.3f}", f"{regret:.2f}")
                    found.append(
                        (split, str(items), name, *quality, f"{coverage:.1%}", f"{fit:.2f}", f"{estimate:.2f}")
                    )
        return found

    def by_matrix(self) -> list[Figures]:
        """Means over repeats."""
        keys = [key for key, value in self.figures[0].items() if isinstance(value, float)]
        return [
            {"matrix": matrix, "split": split, "estimator": name, "items": items}
            | {key: self.mean(key, name, split, items, matrix) for key in keys}
            | {"choices": sorted({one["choice"] for one in self._of(name, split, items, matrix)} - {""})}
            for matrix in self.matrices
            for split in self.splits
            for name in self.names
            for items in COUNTS
        ]

    def bars(self) -> list[Bar]:
        """Of `auto` beside others in the same run."""
        found = []
        for other, split, bound, counts in (
            ("gp_irt", "random", 0.72, COUNTS),
            ("gp_irt", "clusters", 0.85, COUNTS),
            ("random_mean", "random", 0.5, COUNTS),
            ("random_mean", "top+5", 0.6, (50,)),
        ):
            if {"auto", other} <= set(self.names) and split in self.splits:
                for items in counts:
                    ratio = self.mean("error", "auto", split, items) / self.mean("error", other, split, items)
                    found.append(Bar(f"auto / {other}: error, {split}, {items} items", ratio, at_most=bound))
        if "auto" in self.names:
            for split, low in (("random", 0.85), ("clusters", 0.85), ("top+5", 0.8)):
                for items in COUNTS if split in self.splits else ():
                    covered = self.mean("coverage", "auto", split, items)
                    found.append(Bar(f"auto: coverage, {split}, {items} items", covered, at_least=low))
                    if split != "top+5":
                        found.append(Bar(f"auto: coverage, {split}, {items} items", covered, at_most=0.97))
        if {"auto", "stratified_mean"} <= set(self.names):
            for split in self.splits:
                worse = max(
                    self.mean("error", "auto", split, items) - self.mean("error", "stratified_mean", split, items)
                    for items in COUNTS
                    if items >= 50
                )
                found.append(Bar(f"auto - stratified_mean: error, {split}, 50 items or more", worse, at_most=0.3))
        return found


def timing(name: str, found: Mapping[str, Matrix]) -> Figures:
    """Seconds for a part of the first matrix that is large enough, or for models made up of the first one's."""
    large = [matrix for matrix in found.values() if matrix.shape[0] >= MODELS + 50 and matrix.shape[1] >= ITEMS]
    responses = large[0] if large else np.tile(next(iter(found.values())), (3, 3))
    lots = np.random.default_rng(0)
    responses = responses[lots.permutation(len(responses))][:, lots.permutation(responses.shape[1])[:ITEMS]]
    references = References(responses[:MODELS])
    return seconds(name, OPTIONS.get(name, {}), references, responses[MODELS : MODELS + 50], 50)


def time_bars(measured: Mapping[str, Figures]) -> list[Bar]:
    found = []
    for name, figures in measured.items():
        found += [
            Bar(f"{name}: seconds to fit", figures["fit_seconds"], at_most=FIT_SECONDS),
            Bar(f"{name}: milliseconds to estimate", figures["estimate_milliseconds"], at_most=ESTIMATE_MILLISECONDS),
        ]
    return found


def _distinct(figures: Sequence[Figures], key: str) -> list[str]:
    return list(dict.fromkeys(one[key] for one in figures))


if __name__ == "__main__":
    main()
