"""What an estimator says of references that it has not learnt from: the base of honest intervals and of self-checks.

Each reference with all answers is held out once, with its fold, and asked few items as a candidate is. About half of
them are held out with all that answer alike, since a candidate may be of a kind that no reference is of; the others are
spread over the folds at random.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from ...core.contracts.estimator import Matrix, Places, References

if TYPE_CHECKING:
    from .base import CalibratedEstimator

CHECKPOINTS = (5, 10, 20, 50, 100)
"""Numbers of items at which held-out references are estimated."""

FOLDS = 4
FEW = 8
"""Fewer references than this are held out one by one."""
WHOLE = 0.5
"""Share of the references that are held out with all that answer alike."""


@dataclass(frozen=True)
class HeldOut:
    """Estimates of references that were held out.

    Attributes:
        counts: shape (k,): numbers of items asked, rising.
        means: shape (references, k): estimates.
        errors: shape (references, k): their standard errors, not calibrated, on the scale of the one fitted to all.
        truth: shape (references,): scores on all items.
        importance: shape (references,), positive.
    """

    counts: Places
    means: Matrix
    errors: Matrix
    truth: Matrix
    importance: Matrix

    @property
    def error(self) -> Matrix:
        """Shape (k,): mean absolute errors, weighted by importance."""
        found: Matrix = self.importance @ np.abs(self.means - self.truth[:, None]) / self.importance.sum()
        return found


def held_out(estimator: CalibratedEstimator, references: References) -> HeldOut:
    """Estimates of all references that can be held out; none where too few would be left to learn from.

    Args:
        estimator: fitted to the references, not calibrated. How sure it is of itself may jump with what it is fitted
            to (a shrinkage that it chooses), so the learners' standard errors are brought to its own scale.
        references: all that there are.
    """
    complete = np.flatnonzero(references.complete)
    counts = np.array([count for count in CHECKPOINTS if count < references.responses.shape[1]], np.intp)
    rows, means, errors = [], [], []
    for held in folds(references.responses[complete], np.random.default_rng(estimator.seed)):
        held = held[~np.isin(complete[held], references.sources)]  # whatever is merged, its sources are known
        if len(held) == 0 or len(complete) - len(held) < max(estimator.least_references, 1):
            continue
        learner = estimator.fresh()
        learner.fit_uncalibrated(references.take(np.setdiff1d(np.arange(len(references.responses)), complete[held])))
        answers = references.responses[complete[held]]
        found, believed = _estimates(learner, answers, counts)
        _, own = _estimates(estimator, answers, counts)
        rows.append(complete[held])
        means.append(found)
        errors.append(believed * np.exp(np.median(np.log(own / believed), axis=0)))
    if not rows:
        nothing = np.empty((0, len(counts)))
        return HeldOut(counts, nothing, nothing, np.empty(0), np.empty(0))
    places = np.concatenate(rows)
    known = references.take(places)
    return HeldOut(counts, np.concatenate(means), np.concatenate(errors), known.scores, known.importance)


def folds(responses: Matrix, lots: np.random.Generator) -> list[Places]:
    """Who is held out together: each model once."""
    models = len(responses)
    if models < FEW:
        return [np.array([model]) for model in range(models)]
    found: list[list[int]] = [[] for _ in range(FOLDS)]
    together: list[int] = []
    for members in _alike(responses, lots):
        if len(together) + len(members) <= WHOLE * models and len(members) <= models / FOLDS:
            together += members
            min(found, key=len).extend(members)
    for model in lots.permutation(np.setdiff1d(np.arange(models), together)):
        min(found, key=len).append(int(model))
    return [np.sort(np.array(fold, np.intp)) for fold in found]


def _alike(responses: Matrix, lots: np.random.Generator) -> Iterator[list[int]]:
    """Clusters of models (Ward, 1963), in random order; several models each, where there are enough."""
    squares = (responses**2).sum(axis=1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares - 2.0 * responses @ responses.T, 0.0))
    np.fill_diagonal(distances, 0.0)
    tree = linkage(squareform(distances, checks=False), "ward")
    labels = fcluster(tree, max(2, min(20, len(responses) // 5)), "maxclust")
    for label in lots.permutation(np.unique(labels)):
        yield np.flatnonzero(labels == label).tolist()


def _estimates(estimator: CalibratedEstimator, answers: Matrix, counts: Places) -> tuple[Matrix, Matrix]:
    """Shapes (models, k): estimates and their standard errors, which are not 0."""
    means, errors = np.empty((len(answers), len(counts))), np.empty((len(answers), len(counts)))
    for column, seen in enumerate(_asked(estimator, answers, counts)):
        scores = estimator.estimate(seen)
        means[:, column], errors[:, column] = scores.mean, np.maximum(scores.standard_error, 1e-9)
    return means, errors


def _asked(estimator: CalibratedEstimator, answers: Matrix, counts: Places) -> Iterator[Matrix]:
    """The responses as each count is reached, of models whose every answer is known."""
    seen = np.full_like(answers, np.nan)
    asked = 0
    for count in counts:
        while asked < count:
            step = min(5 if asked < 20 else 10, count - asked) if estimator.adaptive else count - asked
            places = estimator.next_items(seen, step)
            np.put_along_axis(seen, places, np.take_along_axis(answers, places, axis=1), axis=1)
            asked += places.shape[1]
        yield seen.copy()
