"""Ways to hold models of a response matrix out: random ones, whole clusters, the best, the best with some known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from heterosis.core.contracts.estimator import Matrix, Places, References
from scipy.cluster.vq import kmeans2

HELD_OUT = 0.25
TOP = 0.2
CLUSTERS = 20
KNOWN = 5
IMPORTANCE_OF_KNOWN = 0.2
"""What the known ones of the best models count for together; they are recent, as a search's own full answers are."""


@dataclass(frozen=True)
class Split:
    """References, and the models held out.

    Attributes:
        answers: shape (models held out, items): all that a held-out model would answer.
    """

    references: References
    answers: Matrix


def matrices(folder: Path) -> dict[str, Matrix]:
    """Every response matrix of a folder by its file's name: models x items, in [0, 1].

    Raises:
        SystemExit: there is none.
    """
    found = {}
    for path in sorted(folder.glob("*.npz")):
        with np.load(path, allow_pickle=False) as stored:
            found[path.stem] = np.asarray(stored["Y"], np.float64)
    if not found:
        raise SystemExit(f"no response matrix (.npz with an array Y of models x items) in {folder}")
    return found


def random(responses: Matrix, lots: np.random.Generator) -> Split:
    """A quarter of the models, at random."""
    return _split(responses, lots.permutation(len(responses))[: round(HELD_OUT * len(responses))])


def clusters(responses: Matrix, lots: np.random.Generator) -> Split:
    """Whole clusters of models that answer alike (k-means), in random order, about a quarter."""
    _, labels = kmeans2(responses, CLUSTERS, minit="++", seed=lots)
    held = np.empty(0, np.intp)
    for label in lots.permutation(CLUSTERS):
        members = np.flatnonzero(labels == label)
        if len(held) + len(members) <= 1.1 * HELD_OUT * len(responses):
            held = np.concatenate([held, members])
    return _split(responses, held)


def top(responses: Matrix, lots: np.random.Generator) -> Split:
    """The best fifth; of equally good ones, any."""
    return _split(responses, _best(responses, lots))


def top_with_known(responses: Matrix, lots: np.random.Generator) -> Split:
    """The best fifth, but some of them, at random, have answered everything and are important references."""
    best = lots.permutation(_best(responses, lots))
    known, held = best[:KNOWN], best[KNOWN:]
    rest = np.setdiff1d(np.arange(len(responses)), best)
    importance = np.concatenate(
        [np.full(len(rest), (1 - IMPORTANCE_OF_KNOWN) / len(rest)), np.full(KNOWN, IMPORTANCE_OF_KNOWN / KNOWN)]
    )
    return Split(References(responses[np.concatenate([rest, known])], importance=importance), responses[held])


SPLITS: Mapping[str, Callable[[Matrix, np.random.Generator], Split]] = {
    "random": random,
    "clusters": clusters,
    "top": top,
    f"top+{KNOWN}": top_with_known,
}


def _best(responses: Matrix, lots: np.random.Generator) -> Places:
    order = lots.permutation(len(responses))
    return order[np.argsort(-responses[order].mean(axis=1), kind="stable")][: round(TOP * len(responses))]


def _split(responses: Matrix, held: Places) -> Split:
    rest = np.setdiff1d(np.arange(len(responses)), held)
    return Split(References(responses[rest]), responses[np.sort(held)])
