"""Exact match and token F1, as question answering (SQuAD) scores them."""

from __future__ import annotations

import torch

from .ngrams import count_ngrams
from .sequences import Sequences, check_pair


def exact_match(hypotheses: Sequences, references: Sequences) -> torch.Tensor:
    """Whether each hypothesis is one of its references, token for token.

    Args:
        hypotheses: [batch].
        references: [batch, references].

    Returns:
        float64 [batch], 1 or 0.

    Raises:
        ConfigurationError: the shapes do not fit, or a hypothesis has no reference.
    """
    check_pair(hypotheses, references)
    longest = max(hypotheses.longest, references.longest)
    differ = hypotheses.widened(longest).unsqueeze(1) != references.widened(longest)
    places = torch.arange(longest, device=differ.device)
    differ &= places < references.lengths.unsqueeze(-1)
    same = (hypotheses.lengths.unsqueeze(1) == references.lengths) & ~differ.any(-1)
    return same.any(1).double()


def token_f1(hypotheses: Sequences, references: Sequences) -> torch.Tensor:
    """F1 of the tokens that a hypothesis shares with a reference (SQuAD: Rajpurkar et al., 2016); the best counts.

    If one of the two is empty, it is 1 if both are, else 0 (SQuAD 2.0).

    Args:
        hypotheses: [batch].
        references: [batch, references].

    Returns:
        float64 [batch] in [0, 1].

    Raises:
        ConfigurationError: the shapes do not fit, or a hypothesis has no reference.
    """
    (counts,) = count_ngrams(hypotheses, references, 1)
    shared = counts.summed(torch.minimum(counts.hypothesis, counts.references)).double()
    lengths = hypotheses.lengths + references.lengths.T
    # F1 = 2 P R / (P + R) with P = shared / one length and R = shared / the other
    scores = torch.where(lengths > 0, 2 * shared / lengths, 1.0)
    return torch.where(references.lengths.T < 0, 0.0, scores).amax(0)
