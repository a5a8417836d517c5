"""What a planned model costs, known without its weights."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Costs:
    """Attributes: `bytes` of the stored tensors; `parameters`: number of weights (a tied one counts once)."""

    bytes: int
    parameters: int
