"""E2M1, the 4-bit floating point of MXFP4 and NVFP4: 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives.

Open Compute Project, Microscaling Formats (MX) Specification, version 1.0, 2023. Codes are 0 to 15: the sign is 8.
"""

from __future__ import annotations

from functools import cache

import torch

from .tables import count_below, look_up

LARGEST = 6.0
_MAGNITUDES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)


@cache
def values() -> torch.Tensor:
    """The values in the order of their codes, float32."""
    return torch.tensor([*_MAGNITUDES, *(-value for value in _MAGNITUDES)])


@cache
def _upper_ends(ties_to_even: bool) -> list[float]:
    """The largest number that each magnitude but the last stands for."""
    magnitudes = torch.tensor(_MAGNITUDES)
    middles = (magnitudes[:-1] + magnitudes[1:]) / 2
    if ties_to_even:
        middles[1::2] = torch.nextafter(middles[1::2], torch.zeros(()))
    return middles.tolist()


def encode(numbers: torch.Tensor, ties_to_even: bool) -> torch.Tensor:
    """Codes of the nearest values, uint8; what is too large becomes the largest.

    Args:
        ties_to_even: a number in the middle of two goes to the even code, and what rounds to 0 keeps its sign
            (compressed-tensors); otherwise it goes towards 0, and there is no negative 0 (ggml).
    """
    codes = count_below(numbers.abs(), _upper_ends(ties_to_even))
    negative = numbers < 0 if ties_to_even else (numbers < 0) & (codes > 0)
    return codes.add_(negative.view(torch.uint8), alpha=8)


def decode(codes: torch.Tensor) -> torch.Tensor:
    """The values, float32."""
    return look_up(values(), codes)
