"""How far two workers' canaries are apart, and how far they may be; without the libraries that ask models."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

TOLERANCES: Mapping[str, float] = {"bfloat16": 0.02, "float16": 0.004, "float32": 1e-5}
"""By the dtype that models are built in, how far apart (`distance`) two workers may be that are both in order.

That is 4 to 30 times what rounding did to SmolLM2-135M with three experts merged, on a CPU: from float64 it was 0.0041
away in bfloat16, 0.0006 in float16 and 3.4e-7 in float32; two implementations of attention were apart by 0.0029, 0.0009
and 1.9e-7; batches of other sizes, and one thread or two, made no difference. In bfloat16 this shows an expert that is
missing (0.047), a layer without its MLP (0.17) or 1% of noise in all weights (0.041); a single weight that is 256 times
too large (0.005) drowns in the rounding.
"""


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
