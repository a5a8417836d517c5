"""NearSwap: towards the other model where it is near (alchemonaut, 2024)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ...core.contracts import MergeMethod, MergeParameters, ParameterSpec

_SMALLEST_DISTANCE = 1e-6


class NearSwap(MergeMethod):
    """(1 - s) * base + s * source, element by element, with s = min(t / |source - base|, 1).

    `t`: elements that differ by less are the source's, others move towards it by t; 0 leaves the base.
    """

    name = "nearswap"
    parameters = (ParameterSpec("t", "shared", search=(0.0, 0.01)),)
    source_count = (1, 1)
    keeps_base = True
    elementwise = True
    paper = "https://huggingface.co/alchemonaut/QuartetAnemoi-70B-t0.0001"

    def merge(
        self, base: torch.Tensor | None, sources: Sequence[torch.Tensor], parameters: MergeParameters
    ) -> torch.Tensor:
        """Interpolates in float32 at least."""
        assert base is not None
        work = torch.promote_types(base.dtype, torch.float32)
        start, end = base.to(work), sources[0].to(work)
        distance = (start - end).abs().clamp_(min=_SMALLEST_DISTANCE)
        share = distance.reciprocal_().mul_(float(parameters.shared["t"])).clamp_(0, 1)
        return torch.lerp(start, end, share).to(base.dtype)
