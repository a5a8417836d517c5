"""BLEU of single answers: how many of their n-grams stand in a reference, and a penalty for brevity."""

from __future__ import annotations

import torch

from ..errors import ConfigurationError, did_you_mean
from .ngrams import count_ngrams
from .sequences import Sequences

SMOOTHINGS = {"exp": 0.0, "floor": 0.1, "add-k": 1.0, "none": 0.0}
"""What is done where no n-gram of an order matches, and the default of its value."""


def sentence_bleu(
    hypotheses: Sequences,
    references: Sequences,
    order: int = 4,
    smoothing: str = "exp",
    value: float | None = None,
    effective_order: bool = True,
) -> torch.Tensor:
    """BLEU (Papineni et al., 2002) of each hypothesis, as sacrebleu's `sentence_bleu` has it, divided by 100.

    Without smoothing and without effective order it is also NLTK's. Smoothings are those of Chen and Cherry (2014).

    Args:
        hypotheses: [batch].
        references: [batch, references].
        order: length of the longest n-grams.
        smoothing: `exp` halves the precision for each order without a match (method 3); `floor` takes `value` for
            the matches (method 1); `add-k` adds `value` to matches and n-grams of the orders from 2 (method 2); `none`.
        value: by default 0.1 for `floor` and 1 for `add-k`.
        effective_order: whether orders longer than the hypothesis are left out of the mean.

    Returns:
        float64 [batch] in [0, 1]; 0 where not a single token matches.

    Raises:
        ConfigurationError: the shapes do not fit, or the smoothing is unknown or its value negative.
    """
    if smoothing not in SMOOTHINGS:
        raise ConfigurationError(f"unknown smoothing {smoothing!r}. {did_you_mean(smoothing, SMOOTHINGS)}")
    value = SMOOTHINGS[smoothing] if value is None else value
    if order < 1 or not value >= 0:
        raise ConfigurationError(f"BLEU of order {order} with the value {value}: order is at least 1, value at least 0")
    clipped = [
        counts.summed(torch.minimum(counts.hypothesis, counts.references.amax(0)))
        for counts in count_ngrams(hypotheses, references, order)
    ]
    matches = torch.stack(clipped).double()
    shorter = torch.arange(order, device=matches.device).unsqueeze(1)
    totals = (hypotheses.lengths - shorter).clamp(min=0).double()
    some = matches[0] > 0
    if smoothing == "add-k":
        matches[1:] += value
        totals[1:] += value
    exists = (totals > 0).long().cumprod(0).bool()
    precisions = torch.where(matches > 0, matches, _stand_in(matches, smoothing, value)) / totals
    logarithms = torch.where(exists, precisions, 0.0 if not effective_order else 1.0).log()
    orders = exists.sum(0).clamp(min=1) if effective_order else order
    return torch.where(some, _brevity_penalty(hypotheses, references) * (logarithms.sum(0) / orders).exp(), 0.0)


def _stand_in(matches: torch.Tensor, smoothing: str, value: float) -> torch.Tensor:
    """What is taken for the matches where there are none: [order, batch]."""
    if smoothing == "exp":
        return torch.pow(2.0, -(matches == 0).double().cumsum(0))
    return torch.full_like(matches, value if smoothing == "floor" else 0.0)


def _brevity_penalty(hypotheses: Sequences, references: Sequences) -> torch.Tensor:
    """exp(1 - r/c) where the hypothesis' length c is less than r, the nearest reference's (the shorter of two)."""
    length = hypotheses.lengths.unsqueeze(1)
    width = max(references.longest, hypotheses.longest) + 1
    distance = torch.where(references.lengths < 0, width, (references.lengths - length).abs())
    nearest = (distance * width + references.lengths.clamp(min=0)).amin(1) % width
    return torch.exp((1 - nearest.double() / hypotheses.lengths).clamp(max=0))
