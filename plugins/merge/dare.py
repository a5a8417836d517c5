"""DARE: task vectors with randomly dropped, rescaled elements (Yu et al., 2024), summed plainly or as in TIES."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ...core.contracts import MergeMethod, MergeParameters, ParameterSpec
from ...core.seeds import derived_seed
from .arithmetic import DENSITY, LAMBDA, WEIGHT, consensus_sum, weighted_sum

_PARAMETERS = (
    WEIGHT,
    DENSITY,
    ParameterSpec("normalize", "shared", default=False),
    ParameterSpec("rescale", "shared", default=True),
    LAMBDA,
)
_SMALLEST_NORM = 1e-7


class DareLinear(MergeMethod):
    """Each element of a task vector is kept with probability `density`; what is kept is rescaled and summed.

    `weight` and `density` of each source; `normalize` (default false); `rescale` (default true) gives the kept
    elements the l1 norm of the whole; `lambda`.
    """

    name = "dare_linear"
    parameters = _PARAMETERS
    keeps_base = True
    paper = "https://arxiv.org/abs/2311.03099"

    def merge(
        self, base: torch.Tensor | None, sources: Sequence[torch.Tensor], parameters: MergeParameters
    ) -> torch.Tensor:
        """The base plus the weighted sum of the thinned task vectors."""
        assert base is not None
        return weighted_sum(base, _thinned(base, sources, parameters), parameters)


class DareTies(MergeMethod):
    """As `dare_linear`, but an element counts only where it agrees with the elected sign, as in TIES."""

    name = "dare_ties"
    parameters = _PARAMETERS
    keeps_base = True
    paper = "https://arxiv.org/abs/2311.03099"

    def merge(
        self, base: torch.Tensor | None, sources: Sequence[torch.Tensor], parameters: MergeParameters
    ) -> torch.Tensor:
        """The base plus the thinned task vectors, summed where their signs agree."""
        assert base is not None
        return consensus_sum(base, _thinned(base, sources, parameters), parameters)


def _thinned(base: torch.Tensor, sources: Sequence[torch.Tensor], parameters: MergeParameters) -> list[torch.Tensor]:
    return [
        drop(source - base, density, bool(parameters.shared["rescale"]), derived_seed(parameters.seed, "dare", number))
        for number, (source, density) in enumerate(zip(sources, parameters.per_source["density"], strict=True))
    ]


def drop(change: torch.Tensor, density: float, rescale: bool, seed: int) -> torch.Tensor:
    """Keeps each element with probability `density`, and its l1 norm if `rescale`.

    The mask is drawn on the CPU, so that every device draws the same one.
    """
    if density >= 1:
        return change
    generator = torch.Generator().manual_seed(seed)
    draws = torch.empty(change.shape, dtype=torch.float32).uniform_(generator=generator)
    kept = change * (draws < density).to(change.device)
    if not rescale:
        return kept
    before, after = change.abs().sum(dtype=torch.float32), kept.abs().sum(dtype=torch.float32)
    if before < _SMALLEST_NORM or after < _SMALLEST_NORM:
        return kept
    return kept * (before / after).to(kept.dtype)
