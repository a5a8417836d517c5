"""The k largest of many values, exactly, in a few passes over the data."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch

_SAMPLE = 8192
_DEVIATIONS = 5


def largest(values: torch.Tensor, k: int) -> torch.Tensor:
    """A mask of exactly the `k` largest values; of equal ones at the edge, those first in memory.

    Args:
        values: shape (n,), without NaN.
        k: 1 to n.

    Returns:
        Booleans, shape (n,), on the values' device.
    """
    if values.device.type == "cpu":
        exact = values if values.dtype == torch.float64 else values.float()
        return torch.from_numpy(_largest(exact.numpy(), k))
    threshold = values.kthvalue(values.numel() - k + 1).values
    mask = values > threshold
    mask[(values == threshold).nonzero().squeeze(1)[: k - int(mask.sum())]] = True
    return mask


def _largest(values: npt.NDArray[np.floating], k: int) -> npt.NDArray[np.bool_]:
    threshold = _kth_largest(values, k)
    mask = values > threshold
    mask[np.flatnonzero(values == threshold)[: k - np.count_nonzero(mask)]] = True
    return mask


def _kth_largest(values: npt.NDArray[np.floating], k: int) -> np.floating:
    """Selects inside a bracket that a sample gives; once in a million it misses, and then all values are searched.

    Two passes over the data and a selection among a few per cent of it are ten times faster than one among all.
    """
    stride = values.size // _SAMPLE
    if stride >= 8:
        sample = np.sort(values[::stride])[::-1]
        share = k / values.size
        slack = _DEVIATIONS * math.sqrt(share * (1 - share) * sample.size) + 1
        upper = sample[max(int(share * sample.size - slack), 0)]
        lower = sample[min(int(share * sample.size + slack), sample.size - 1)]
        above = int(np.count_nonzero(values > upper))
        if lower == upper and above < k <= int(np.count_nonzero(values >= lower)):
            level: np.floating = upper  # one that many values share, as in differences of bfloat16 weights
            return level
        inside = values[(values >= lower) & (values <= upper)]
        if above < k <= above + inside.size:
            return _select(inside, k - above)
    return _select(values, k)


def _select(values: npt.NDArray[np.floating], k: int) -> np.floating:
    chosen: np.floating = np.partition(values, values.size - k)[values.size - k]
    return chosen
