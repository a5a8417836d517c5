"""chrF and chrF++: an F-score of character n-grams, and of word n-grams beside them."""

from __future__ import annotations

import torch

from ..errors import ConfigurationError
from .ngrams import count_ngrams
from .sequences import Sequences


def chrf(
    hypotheses: Sequences,
    references: Sequences,
    words: tuple[Sequences, Sequences] | None = None,
    order: int = 6,
    word_order: int = 2,
    beta: float = 2.0,
) -> torch.Tensor:
    """chrF (Popovic, 2015), or chrF++ (2017) if there are words, as sacrebleu's `sentence_chrf` has it, over 100.

    Precision and recall are the means over the orders that both sides have; of several references the best counts.

    Args:
        hypotheses: characters without space, [batch].
        references: characters without space, [batch, references].
        words: the words of both, for chrF++.
        order: longest n-grams of characters.
        word_order: longest n-grams of words, if there are words.
        beta: how much more recall counts than precision.

    Returns:
        float64 [batch] in [0, 1].

    Raises:
        ConfigurationError: the shapes do not fit, or an order or beta is not positive.
    """
    if min(order, word_order) < 1 or not beta > 0:
        raise ConfigurationError(f"chrF of the orders {order} and {word_order} with beta {beta}: all must be positive")
    precisions, recalls = _by_order(hypotheses, references, order)
    if words is not None:
        more = _by_order(*words, word_order)
        precisions, recalls = torch.cat([precisions, more[0]]), torch.cat([recalls, more[1]])
    precision, recall = (torch.nanmean(figures, 0).nan_to_num(0.0) for figures in (precisions, recalls))
    factor = beta**2
    scores = (1 + factor) * precision * recall / (factor * precision + recall)
    return scores.nan_to_num(0.0).clamp(max=1.0).amax(0)


def _by_order(hypotheses: Sequences, references: Sequences, order: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Precision and recall, [order, references, batch]; NaN where one side has no n-gram of the order."""
    precisions, recalls = [], []
    for counts in count_ngrams(hypotheses, references, order):
        matches = counts.summed(torch.minimum(counts.hypothesis, counts.references)).double()
        asked, given = counts.summed(counts.references), counts.summed(counts.hypothesis)
        both = (asked > 0) & (given > 0)
        precisions.append(torch.where(both, matches / given, torch.nan))
        recalls.append(torch.where(both, matches / asked, torch.nan))
    return torch.stack(precisions), torch.stack(recalls)
