"""SLERP: along the great circle between two models (Shoemake, 1985)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ...core.contracts import MergeMethod, MergeParameters, ParameterSpec

_COLLINEAR = 0.9995
_SMALLEST_NORM = 1e-8


class Slerp(MergeMethod):
    """sin((1-t) a)/sin(a) * base + sin(t a)/sin(a) * source, with a the angle between the two tensors.

    `t` in [0, 1]: 0 is the base, 1 the source. Tensors that are nearly collinear are interpolated linearly.
    """

    name = "slerp"
    parameters = (ParameterSpec("t", "shared", search=(0.0, 1.0)),)
    source_count = (1, 1)
    paper = "https://dl.acm.org/doi/10.1145/325334.325242"

    def merge(
        self, base: torch.Tensor | None, sources: Sequence[torch.Tensor], parameters: MergeParameters
    ) -> torch.Tensor:
        """Interpolates in float32 (float64 for float64); norms and angle are taken over the whole tensor."""
        assert base is not None
        work = torch.float64 if base.dtype == torch.float64 else torch.float32
        start, end = base.to(work), sources[0].to(work)
        t = torch.tensor(float(parameters.shared["t"]), dtype=work)
        cosine = (_unit(start) * _unit(end)).sum().clamp(-1, 1)
        if cosine.abs() > _COLLINEAR:
            shares = 1 - t, t
        else:
            angle = torch.acos(cosine)
            shares = torch.sin((1 - t) * angle) / torch.sin(angle), torch.sin(t * angle) / torch.sin(angle)
        return (shares[0] * start + shares[1] * end).to(base.dtype)


def _unit(tensor: torch.Tensor) -> torch.Tensor:
    flat = tensor.reshape(-1)
    norm = torch.linalg.vector_norm(flat)
    return flat / norm if norm > _SMALLEST_NORM else flat
