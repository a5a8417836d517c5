"""Fits the 2PL of one ability by marginal maximum likelihood: EM on a fixed grid (Bock and Aitkin, 1981).

Abilities are N(0, 1) and are summed over, so that items are not fitted to guesses of them. The weak priors
a ~ N(1, 1/2) and d ~ N(0, 9) (variances) hold items that all references answer alike, and say which way is up.
"""

from __future__ import annotations

import numpy as np

from ...core.contracts.estimator import Matrix
from .logistic import Items, sigmoid
from .quadrature import Quadrature

GRID: Matrix = np.linspace(-4.5, 4.5, 61)
MEANS = np.array([1.0, 0.0])
PRECISIONS = np.array([2.0, 1.0 / 9.0])
NEWTON_STEPS = 2
LONGEST_STEP = 1.0


def standard(items: Items) -> Quadrature:
    """Items of one ability, which is N(0, 1)."""
    return Quadrature(items, GRID[:, None], -0.5 * GRID**2)


def fit_marginal(
    responses: Matrix, importance: Matrix | None = None, steps: int = 30, tolerance: float = 1e-2
) -> Quadrature:
    """Fits the items to references that have answered.

    Discriminations may be negative: an item that better models answer wrongly (a bad label) is evidence too.

    Args:
        responses: shape (references, items), in [0, 1]; NaN where a reference was not asked.
        importance: shape (references,): how much each counts. Default: equal.
        steps: of EM, at most. More find steeper items, which predict held-out models' responses no better, and their
            scores worse: one ability is never all that there is.
        tolerance: it stops when no parameter moves by more than this.
    """
    models, count = responses.shape
    asked = np.isfinite(responses)
    counted = np.ones((models, 1)) if importance is None else importance[:, None]
    shares = asked * counted
    right = np.where(asked, responses, 0.0) * counted
    means = (right.sum(axis=0) + 0.5) / (shares.sum(axis=0) + 1.0)
    found = np.stack([np.ones(count), np.log(means / (1.0 - means))])
    for _ in range(steps):
        likely = _model(found).posterior(responses)
        moved = _maximised(found, likely.T @ right, likely.T @ shares)
        done = np.abs(moved - found).max() < tolerance
        found = moved
        if done:
            break
    return _model(found)


def _model(parameters: Matrix) -> Quadrature:
    return standard(Items(parameters[0][:, None], parameters[1]))


def _maximised(parameters: Matrix, right: Matrix, asked: Matrix) -> Matrix:
    """Newton's steps for all items at once.

    Args:
        parameters: shape (2, items): discriminations and intercepts.
        right: shape (nodes, items): expected right answers of models at each node.
        asked: shape (nodes, items): expected answers.
    """
    powers = np.stack([GRID**2, GRID, np.ones_like(GRID)])
    for _ in range(NEWTON_STEPS):
        chances = sigmoid(np.multiply.outer(GRID, parameters[0]) + parameters[1])
        slope = powers[1:] @ (right - asked * chances) - PRECISIONS[:, None] * (parameters - MEANS[:, None])
        curve = powers @ (asked * chances * (1.0 - chances))
        twice, mixed, once = curve[0] + PRECISIONS[0], curve[1], curve[2] + PRECISIONS[1]
        step = np.stack([once * slope[0] - mixed * slope[1], twice * slope[1] - mixed * slope[0]])
        step /= twice * once - mixed**2
        parameters = parameters + np.clip(step, -LONGEST_STEP, LONGEST_STEP)
    return parameters
