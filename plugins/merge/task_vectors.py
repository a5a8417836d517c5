"""What the task-vector methods share: their parameters, norms, and the sum that they all end in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch

from ...core.contracts import MergeParameters, ParameterSpec
from ...core.forms import TaskVectorSum, Term, WeightedSum
from ...core.kernels import magnitude_sum

WEIGHT = ParameterSpec("weight", "source", search=(0.0, 1.5))
DENSITY = ParameterSpec("density", "source", default=1.0, search=(0.1, 1.0), low=0.0, high=1.0)
LAMBDA = ParameterSpec("lambda", "shared", default=1.0)

_SMALLEST_NORM = 1e-7


def norm(base: torch.Tensor, source: torch.Tensor) -> float:
    """The l1 norm of the task vector source - base."""
    return magnitude_sum(base, source, Term(1.0))


def rescaled(term: Term, whole: float, base: torch.Tensor, source: torch.Tensor) -> Term:
    """The term with the scale that gives what it keeps the l1 norm of the whole task vector, which is `whole`."""
    kept = magnitude_sum(base, source, term)
    return replace(term, scale=whole / kept) if min(whole, kept) >= _SMALLEST_NORM else term


def task_vector_sum(terms: Sequence[Term], parameters: MergeParameters, consensus: bool = False) -> TaskVectorSum:
    """The form for these terms, with `normalize` and `lambda` from the parameters."""
    return TaskVectorSum(
        tuple(terms), consensus, bool(parameters.shared["normalize"]), float(parameters.shared["lambda"])
    )


def weighted(weights: Iterable[float], with_base: bool) -> WeightedSum | TaskVectorSum:
    """The form of sum_i w_i x_i, or with a base of base + sum_i w_i (x_i - base).

    Differences are taken first: the weights that make short task vectors long would blow up the rounding errors of a
    sum in which the base has the weight 1 - sum_i w_i.
    """
    values = tuple(float(weight) for weight in weights)
    return TaskVectorSum(tuple(map(Term, values))) if with_base else WeightedSum(values)
