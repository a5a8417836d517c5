"""The canary: one model, a few texts, and what every worker must say of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice, zip_longest
from typing import Any

from ..core.contracts import Item
from ..core.errors import EvaluationError, MaterialiseError
from ..core.recipe import Recipe
from ..core.stage import STAGES
from .evaluator import Evaluator

TEXTS = 8
_BYTES = 96
"""Of a text. No tokenizer makes more tokens of it, so that it fits the smallest model."""


def canary_values(evaluator: Evaluator) -> tuple[float, ...]:
    """Log-likelihoods of texts from the study's first items under its canary; natural logarithms, at most 8.

    The canary is the uniform average of the sources, which exercises the merging; a single source is the canary itself.
    It becomes the resident model. The same process gives the same values again.

    Returns:
        Empty if the canary cannot be built or asked, which is then true of every worker that is in order.
    """
    try:
        return tuple(evaluator.log_likelihoods(canary(evaluator), texts_of(evaluator)))
    except (MaterialiseError, EvaluationError):
        return ()


def canary(evaluator: Evaluator) -> Recipe:
    """How the canary is built."""
    return list(evaluator.spec.space.references().values())[-1]


def texts_of(evaluator: Evaluator) -> list[str]:
    """What the canary is asked: the beginnings of the first items, the tasks taking turns."""
    staged = next((evaluator.items[stage] for stage in STAGES if evaluator.items[stage]), {})
    turns = zip_longest(*(group.items[:TEXTS] for group in staged.values()))
    items: Iterator[Item] = (item for item in chain.from_iterable(turns) if item is not None)
    return [_cut(text) for text in (" ".join(_words(item.data)) for item in islice(items, TEXTS)) if text.strip()]


def _words(content: Any) -> Iterator[str]:
    """All text in an item's data, in the order of its keys."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, Mapping):
        for key in sorted(content):
            yield from _words(content[key])
    elif isinstance(content, Sequence):
        for entry in content:
            yield from _words(entry)


def _cut(text: str) -> str:
    return text.encode()[:_BYTES].decode(errors="ignore")
