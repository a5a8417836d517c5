"""The canary: one model, a few texts, and what every worker must say of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice, zip_longest
from typing import Any

from ..core.contracts import Item
from ..core.errors import EvaluationError, MaterialiseError
from ..core.recipe import Recipe
from ..core.stage import STAGES
from .evaluator import Evaluator

TEXTS = 8
TOLERANCES: Mapping[str, float] = {"bfloat16": 0.02, "float16": 0.004, "float32": 1e-5}
"""By the dtype that models are built in, how far apart (`distance`) two workers may be that are both in order.

That is 4 to 30 times what rounding did to SmolLM2-135M with three experts merged, on a CPU: from float64 it was 0.0041
away in bfloat16, 0.0006 in float16 and 3.4e-7 in float32; two implementations of attention were apart by 0.0029, 0.0009
and 1.9e-7; batches of other sizes, and one thread or two, made no difference. In bfloat16 this shows an expert that is
missing (0.047), a layer without its MLP (0.17) or 1% of noise in all weights (0.041); a single weight that is 256 times
too large (0.005) drowns in the rounding.
"""
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


def agrees(values: Sequence[float], reference: Sequence[float], dtype: str) -> bool:
    """Whether two workers' canaries say the same, but for rounding.

    Args:
        dtype: what models are built in (`Space.out_dtype`).
    """
    return distance(values, reference) <= TOLERANCES.get(dtype, min(TOLERANCES.values()))


def distance(values: Sequence[float], reference: Sequence[float]) -> float:
    """||values - reference|| / ||reference||, Euclidean; infinite if a figure is not finite or one has no fellow."""
    if len(values) != len(reference):
        return math.inf
    size = math.hypot(*reference)
    apart = math.dist(values, reference)
    found = apart / size if size else (0.0 if apart == 0 else math.inf)
    return found if math.isfinite(found) else math.inf


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
