"""Random draws by number: element i of a tensor draws the same whatever the device, the block size or the order."""

from __future__ import annotations

import torch

_MASK = 0xFFFFFFFF


def second_seed(seed: int) -> int:
    """The other half of what a draw is mixed with, from a seed in [0, 2^32)."""
    return (seed * 0x9E3779B1 + 0x7F4A7C15) & _MASK


def draws(count: int, seed: int, start: int = 0, device: torch.device | str = "cpu") -> torch.Tensor:
    """Uniform integers in [0, 2^32) for the elements `start` to `start + count`, as int64 of shape (count,).

    The element's number (modulo 2^32) goes through an integer mixer with two multiplications, into which the seed
    enters twice (after Wellons, 2018, "Prospecting for hash functions": lowbias32).
    """
    return mixed(torch.arange(start, start + count, dtype=torch.int64, device=device), seed, second_seed(seed))


def mixed(numbers: torch.Tensor, seed: torch.Tensor | int, second: torch.Tensor | int) -> torch.Tensor:
    """The draws of the elements with these numbers (int64, not negative); `second` is the seed's `second_seed`."""
    x = (numbers ^ seed) & _MASK
    x = ((x ^ (x >> 16)) * 0x7FEB352D & _MASK) ^ second
    x = (x ^ (x >> 15)) * 0x846CA68B & _MASK
    return x ^ (x >> 16)


def drawn(
    count: int, probability: float, seed: int, start: int = 0, device: torch.device | str = "cpu"
) -> torch.Tensor:
    """Which of the elements are drawn, each with `probability` in (0, 1]: booleans of shape (count,).

    With the same seed, what is drawn with a smaller probability is drawn with a larger one too.
    """
    return draws(count, seed, start, device) <= highest(probability)


def highest(probability: float) -> int:
    """The largest integer with which an element of this probability in (0, 1] is drawn."""
    return max(round(probability * 2**32) - 1, 0)
