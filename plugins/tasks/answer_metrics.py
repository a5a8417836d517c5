"""The metrics that an answer's text can be scored with: each cuts the texts its own way and hands on token ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch

from ...core import metrics
from ...core.metrics import Sequences

Texts = Sequence[str]
Groups = Sequence[Sequence[str]]
Cut = Callable[[str], list[str]]

TOKENS: Mapping[str, tuple[Cut, Cut]] = {
    "words": (metrics.words_13a, metrics.words_squad),
    "characters": (metrics.characters, lambda text: metrics.characters(" ".join(metrics.words_squad(text)))),
}
"""What BLEU and F1 count, by the name of the option: in languages that write no spaces, characters."""


def bleu(texts: Texts, references: Groups, tokens: str = "words", smoothing: str = "exp") -> torch.Tensor:
    """Sentence BLEU: float64 [texts] in [0, 1]."""
    return metrics.sentence_bleu(*_cut(TOKENS[tokens][0], texts, references), smoothing=smoothing)


def chrf(texts: Texts, references: Groups) -> torch.Tensor:
    """chrF: float64 [texts] in [0, 1]."""
    return metrics.chrf(*_cut(metrics.characters, texts, references))


def chrf_with_words(texts: Texts, references: Groups) -> torch.Tensor:
    """chrF++: float64 [texts] in [0, 1]."""
    words = _cut(metrics.words_chrf, texts, references)
    return metrics.chrf(*_cut(metrics.characters, texts, references), words=words)


def f1(texts: Texts, references: Groups, tokens: str = "words") -> torch.Tensor:
    """Token F1 as SQuAD has it: float64 [texts] in [0, 1]."""
    return metrics.token_f1(*_cut(TOKENS[tokens][1], texts, references))


def exact_match(texts: Texts, references: Groups) -> torch.Tensor:
    """Exact match as SQuAD has it: float64 [texts], 0 or 1."""
    return metrics.exact_match(*_cut(metrics.words_squad, texts, references))


METRICS: Mapping[str, Callable[..., torch.Tensor]] = {
    "bleu": bleu,
    "chrf": chrf,
    "chrf++": chrf_with_words,
    "f1": f1,
    "exact_match": exact_match,
}
"""By name; each takes texts and references, and perhaps options."""

METRIC_OPTIONS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "bleu": {"tokens": tuple(TOKENS), "smoothing": tuple(metrics.SMOOTHINGS)},
    "f1": {"tokens": tuple(TOKENS)},
}
"""The options that a metric takes, and their values; the first is the default."""


def _cut(cut: Cut, texts: Texts, references: Groups) -> tuple[Sequences, Sequences]:
    return metrics.encoded(list(map(cut, texts)), [list(map(cut, group)) for group in references])
