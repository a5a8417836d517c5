"""Quadratic weighted kappa: how well grades agree, beyond what their frequencies alone would bring."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..errors import ConfigurationError


def quadratic_weighted_kappa(answers: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
    """Cohen's kappa (1968) with the squared distance of two grades as weight.

    It equals scikit-learn's `cohen_kappa_score(answers, references, weights="quadratic", labels=range(low, high + 1))`;
    without `labels`, scikit-learn numbers the grades that occur and so moves grades together that have a gap.

    Args:
        answers: grades, whole numbers [..., items].
        references: grades, whole numbers [..., items]; one row may serve many of `answers`.

    Returns:
        float64 [...] in [-1, 1]; NaN where all grades of both are the same one, which says nothing about agreement.

    Raises:
        ConfigurationError: grades are not whole numbers, there is no item, or not as many of both.
    """
    answers, references = _checked(answers, references)
    return _kappa(_sums(answers, references), answers.shape[-1])


def jackknifed_kappa(answers: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
    """Quadratic weighted kappa with each item left out in turn: float64 [..., items], as the function above.

    Raises:
        ConfigurationError: grades are not whole numbers, or there are fewer than two items.
    """
    answers, references = _checked(answers, references)
    if answers.shape[-1] < 2:
        raise ConfigurationError("leaving an item out needs two items")
    ones = answers.unsqueeze(-1), references.unsqueeze(-1)
    without = [whole.unsqueeze(-1) - one for whole, one in zip(_sums(answers, references), _sums(*ones), strict=True)]
    return _kappa(without, answers.shape[-1] - 1)


def _checked(answers: torch.Tensor, references: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    for grades in (answers, references):
        if grades.is_floating_point() or grades.dtype == torch.bool or not grades.numel():
            raise ConfigurationError(f"grades are whole numbers, at least one; not {grades.dtype} {list(grades.shape)}")
    if answers.shape[-1] != references.shape[-1]:
        raise ConfigurationError(f"{answers.shape[-1]} answers cannot be held to {references.shape[-1]} references")
    return answers.long(), references.long()


def _sums(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return ((a - b) ** 2).sum(-1), (a**2 + b**2).sum(-1), a.sum(-1), b.sum(-1)


def _kappa(sums: Sequence[torch.Tensor], items: int) -> torch.Tensor:
    distances, squares, answers, references = sums
    # the mean distance of all pairs of an answer and a reference, times items²: exact, so that zero is zero
    expected = items * squares - 2 * answers * references
    return 1 - items * distances.double() / expected
