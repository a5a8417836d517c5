"""Metrics of answers against references: functions of token ids, for a whole batch, on the device that the ids are on.

They stand in core because tasks use them, and a plugin may import nothing else. A task turns texts into `Sequences`;
from there on no loop runs over answers. All are deterministic: what is counted is whole numbers.
"""

from .bleu import SMOOTHINGS, sentence_bleu
from .chrf import chrf
from .kappa import jackknifed_kappa, quadratic_weighted_kappa
from .languages import in_language
from .overlap import exact_match, token_f1
from .scripts import has_letters, script_share
from .sequences import Sequences, code_points, encoded
from .words import characters, words_13a, words_chrf, words_squad

__all__ = [
    "SMOOTHINGS",
    "Sequences",
    "characters",
    "chrf",
    "code_points",
    "encoded",
    "exact_match",
    "has_letters",
    "in_language",
    "jackknifed_kappa",
    "quadratic_weighted_kappa",
    "script_share",
    "sentence_bleu",
    "token_f1",
    "words_13a",
    "words_chrf",
    "words_squad",
]
