"""What a planned model costs, known without its weights."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Costs:
    """What a model takes.

    Attributes:
        bytes: of the stored tensors; where the recipe quantises for a target, of the weight files that are exported to
            it, headers and all.
        parameters: number of weights (a tied one counts once).
        bits: for each weight of the linear layers (embedding and output left out), scales and all.
        memory: `bytes`, and those of the keys and values of 2048 tokens: what a budget of memory limits, at its
            default context.
    """

    bytes: int
    parameters: int
    bits: float = 0.0
    memory: int = 0
