"""Divergence: how far a candidate's expectations are from those of a reference, on a text."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...core.contracts import Item, LanguageModel, Task
from ...core.errors import EvaluationError
from ...core.estimate import Estimate
from ...core.parsing import check_keys, text_of, whole_number_of
from .perplexity import Perplexity

MERGE = "merge"


class Divergence(Task):
    """The pieces of a text; the response to a piece is exp(-KL), with KL the mean divergence per token, in nats.

    KL(reference || candidate) is taken between what the two expect after each token of the piece. All tokens but the
    `top` that the reference expects most count as one, which gives a lower bound (see
    `LanguageModel.divergences`). The score of the task is the mean over pieces of -ln(response): 0 if the candidate
    expects what the reference does, and lower is better.

    Options:
        characters: about how long a piece is (default 2000); as for `perplexity`.
        reference: `merge` (default), the candidate's own merge before it is quantised; `base`; or a source's label.
        top: how many tokens are told apart (default 64).
    """

    name = "divergence"
    share = False
    reference: str

    def __init__(self, items: tuple[Item, ...], characters: int, reference: str, top: int) -> None:
        self.items = items
        self.reference = reference
        self.top = top
        self.rule = {"version": 1, "characters": characters, "reference": reference, "top": top}

    @classmethod
    def open(cls, path: Path, **options: Any) -> Divergence:
        """Reads a UTF-8 text file and cuts it.

        Raises:
            ConfigurationError: the file is missing, empty or no UTF-8, or an option is unknown or out of range.
        """
        where = f"task type {cls.name}"
        check_keys(options, ("characters", "reference", "top"), where)
        characters = whole_number_of(options.get("characters", 2000), f"{where}, characters", at_least=1)
        reference = text_of(options.get("reference", MERGE), f"{where}, reference")
        top = whole_number_of(options.get("top", 64), f"{where}, top", at_least=1)
        return cls(Perplexity.open(path, characters=characters).items, characters, reference, top)

    def score(self, model: LanguageModel, items: Sequence[Item]) -> list[float]:
        """The responses: exp(-KL per token), in (0, 1], of each of `items`, in order.

        Raises:
            EvaluationError: a piece has fewer than two tokens, or the model has no such reference.
        """
        responses = []
        texts = [item.data["text"] for item in items]
        for text, (divergence, tokens) in zip(texts, model.divergences(texts, self.reference, self.top), strict=True):
            if tokens == 0:
                raise EvaluationError(
                    f"the piece {text!r} is too short to foresee a token; give `characters` a higher value"
                )
            # kept above 0, whose logarithm could not be summarised
            responses.append(min(max(math.exp(-divergence / tokens), sys.float_info.min), 1.0))
        return responses

    def summarise(self, items: Sequence[Item], scores: Sequence[float]) -> Estimate:
        """The mean divergence per token, in nats, and its standard error over pieces."""
        return Estimate.from_scores([-math.log(score) for score in scores])
