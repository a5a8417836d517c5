"""A row of the quantisers' comparison: one of ours beside a library's, on the same weights."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A quantiser of ours against a reference.

    Attributes:
        quantiser: our level, `gptq:int4-g128`.
        reference: the library and what was called there.
        difference: largest absolute difference of the dequantised weights; 0: equal bit for bit; not a number: there is
            nothing to compare with.
        seconds, reference_seconds: quantising and dequantising the matrix, the best of a few.
        note: what else should be known.
        error_ratio: our error over the reference's, where both search and may find different codes: the squared error,
            or GPTQ's proxy loss. None: the reference makes the same choices, so that nothing may differ.
    """

    quantiser: str
    reference: str
    difference: float
    seconds: float
    reference_seconds: float
    note: str = ""
    error_ratio: float | None = None
