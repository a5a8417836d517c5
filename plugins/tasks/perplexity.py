"""Perplexity: how well the model expects a text."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from ...core.contracts import Item, LanguageModel, Task
from ...core.errors import ConfigurationError, EvaluationError
from ...core.estimate import Estimate
from ...core.genome import content_hash
from ...core.parsing import check_keys, whole_number_of
from .jsonl import read_utf8


class Perplexity(Task):
    """The pieces of a text; the response to a piece is its inverse perplexity, exp(mean log-likelihood per token).

    The score of the task is the perplexity, exp of the mean over pieces of -ln(response): 1 is a text foreseen token
    for token, and lower is better. Tokens differ between tokenizers, so only models that share one can be compared.

    Options:
        characters: about how long a piece is (default 2000); pieces are cut where space begins, if there is any near.
    """

    name = "perplexity"
    share = False

    def __init__(self, items: tuple[Item, ...], characters: int = 2000) -> None:
        self.items = items
        self.rule = {"version": 1, "characters": characters}

    @classmethod
    def open(cls, path: Path, **options: Any) -> Perplexity:
        """Reads a UTF-8 text file and cuts it.

        Raises:
            ConfigurationError: the file is missing, empty or no UTF-8, or an option is unknown.
        """
        where = f"task type {cls.name}"
        check_keys(options, ("characters",), where)
        characters = whole_number_of(options.get("characters", 2000), f"{where}, characters", at_least=1)
        pieces = [piece for piece in cut(read_utf8(path), characters) if piece.strip()]
        if not pieces:
            raise ConfigurationError(f"empty task: {path} has no text")
        return cls(
            tuple(Item(f"{number}-{content_hash(piece)[:12]}", {"text": piece}) for number, piece in enumerate(pieces)),
            characters,
        )

    def score(self, model: LanguageModel, items: Sequence[Item]) -> list[float]:
        """The responses: the inverse perplexity, in (0, 1], of each of `items`, in order.

        Raises:
            EvaluationError: a piece has fewer than two tokens.
        """
        responses = []
        figures = model.text_log_likelihoods([item.data["text"] for item in items])
        for item, (figure, tokens) in zip(items, figures, strict=True):
            if tokens == 0:
                raise EvaluationError(
                    f"the piece {item.data['text']!r} is too short to foresee a token; give `characters` a higher value"
                )
            # kept above 0, whose logarithm could not be summarised
            responses.append(min(max(math.exp(figure / tokens), sys.float_info.min), 1.0))
        return responses

    def summarise(self, items: Sequence[Item], scores: Sequence[float]) -> Estimate:
        """The perplexity, exp(m) with m the mean of -ln(response), and its standard error by the delta method."""
        surprise = Estimate.from_scores([-math.log(score) for score in scores])
        perplexity = math.exp(surprise.mean)
        return Estimate(perplexity, perplexity * surprise.standard_error, surprise.items)


def cut(text: str, characters: int) -> list[str]:
    """Pieces of about equal length, near `characters`, that join to the text again.

    A cut falls where space begins, up to a quarter of a piece before the even place; elsewhere right there, so that
    languages without spaces are cut too.
    """
    count = max(round(len(text) / characters), 1)
    places = [0]
    for number in range(1, count):
        even = len(text) * number // count
        nearest = max(even - len(text) // count // 4, places[-1] + 1)
        spaces = (
            place for place in range(even, nearest, -1) if text[place].isspace() and not text[place - 1].isspace()
        )
        places.append(next(spaces, even))
    places.append(len(text))
    return [text[start:end] for start, end in pairwise(places)]
