"""What a quantiser is given, looked at before it is used: numbers must be finite, statistics of the same layer."""

from __future__ import annotations

import torch

from ...core.contracts import Calibration
from ...core.errors import MaterialiseError


def finite(weight: torch.Tensor) -> torch.Tensor:
    """The weight in float32.

    Raises:
        MaterialiseError: there are NaNs or infinities in it.
    """
    wide = weight.float()
    if wide.numel() and not torch.stack(wide.aminmax()).isfinite().all():
        bad = int((~wide.isfinite()).sum())
        raise MaterialiseError(
            f"{bad} of the {wide.numel()} weights of a matrix of shape {list(wide.shape)} are not finite, so there are "
            "no scales for them: look at the merge that made them, or at the source"
        )
    return wide


def importance_of(calibration: Calibration | None, weight: torch.Tensor) -> torch.Tensor | None:
    """E[x^2] of the weight's inputs, if it is known.

    Raises:
        MaterialiseError: it is of another layer, or not finite.
    """
    if calibration is None:
        return None
    importance = calibration.importance
    if importance.shape != weight.shape[1:]:
        raise MaterialiseError(
            f"calibration of {len(importance)} inputs for a weight of {weight.shape[1]}: gather it with this model"
        )
    if not importance.isfinite().all():
        raise MaterialiseError("the calibration has numbers that are not finite: gather it anew, in float32")
    return importance
