"""What is known of a merged layer's inputs: the statistics of what was merged, in the recipe's own proportions."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..contracts.quantizer import Calibration
from ..errors import MaterialiseError


def calibration_of(
    grams: Sequence[torch.Tensor], maxima: Sequence[torch.Tensor | None], shares: Sequence[float]
) -> Calibration:
    """Inputs drawn from each source in proportion to its share.

    Args:
        grams: mean of x x^T of each source's inputs, shape (in, in), on one device.
        maxima: largest |x| of each source's, shape (in,); None where they were not gathered.
        shares: of each source, any sign and sum: |share| over their sum counts; all the same if that is 0.

    Returns:
        The weighted mean of the grams, float32, symmetric to the bit, and the largest of the maxima, or None if those
        of a source that counts are not known.

    Raises:
        MaterialiseError: the statistics are of layers of different widths, or there are none.
    """
    sizes = {tuple(gram.shape) for gram in grams} | {(len(one), len(one)) for one in maxima if one is not None}
    if not len(grams) == len(maxima) == len(shares) or len(sizes) != 1:
        raise MaterialiseError(
            f"the statistics of {len(grams)} sources, sizes {sorted(sizes)}, cannot be mixed in {len(shares)} shares; "
            "gather them on checkpoints of one architecture"
        )
    weights = [abs(share) for share in shares]
    whole = sum(weights)
    parts = [weight / whole if whole > 0 else 1 / len(weights) for weight in weights]
    counted = [place for place, part in enumerate(parts) if part > 0]
    mixed = torch.zeros_like(grams[0], dtype=torch.float32)
    for place in counted:
        mixed.add_(grams[place].to(torch.float32), alpha=parts[place])
    known = [one.float() for one in (maxima[place] for place in counted) if one is not None]
    largest = torch.stack(known).amax(dim=0) if len(known) == len(counted) else None
    return Calibration((mixed + mixed.T).div_(2), largest)
