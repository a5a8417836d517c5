"""RAM and RAM+: the mean of the changes of those sources that change an element (Reinforced Agent Merging, 2026)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ...core.contracts import MergeMethod, MergeParameters, ParameterSpec
from .changes import add_changes, changes

_EPSILON = ParameterSpec("epsilon", "shared", default=1e-5, low=0.0)


class Ram(MergeMethod):
    """base + the mean of the changes of the sources that change the element by more than `epsilon` (default 1e-5)."""

    name = "ram"
    parameters = (_EPSILON,)
    keeps_base = True
    elementwise = True
    paper = "https://arxiv.org/abs/2601.13572"

    def merge(
        self, base: torch.Tensor | None, sources: Sequence[torch.Tensor], parameters: MergeParameters
    ) -> torch.Tensor:
        """Sums in float32 at least."""
        assert base is not None
        return _merged(base, sources, float(parameters.shared["epsilon"]), [1.0] * len(sources))


class RamPlus(MergeMethod):
    """As `ram`, but a change that only source i makes counts 1 + r * min(s_i / u_i, alpha) times.

    s_i and u_i are the numbers of elements of this tensor that source i changes with others and alone (tensor-local).

    `r` (default 0.1); `alpha` (default 0.2); `epsilon` (default 1e-5): smaller changes are none.
    """

    name = "ramplus_tl"
    parameters = (
        ParameterSpec("r", "shared", default=0.1, search=(0.0, 1.0)),
        ParameterSpec("alpha", "shared", default=0.2, search=(0.0, 1.0), low=0.0),
        _EPSILON,
    )
    keeps_base = True
    paper = "https://arxiv.org/abs/2601.13572"

    def merge(
        self, base: torch.Tensor | None, sources: Sequence[torch.Tensor], parameters: MergeParameters
    ) -> torch.Tensor:
        """Counts in one pass over the data, then sums in float32 at least in another."""
        assert base is not None
        epsilon, alpha = float(parameters.shared["epsilon"]), float(parameters.shared["alpha"])
        alone = torch.zeros(len(sources), dtype=torch.int64, device=base.device)
        shared = torch.zeros_like(alone)
        for _, change in changes(base, sources):
            made = change.abs() > epsilon
            by = made.sum(0)
            alone += (made & (by == 1)).sum(1)
            shared += (made & (by > 1)).sum(1)
        # A source that changes nothing alone has no limit but alpha (and nothing that would be multiplied).
        overlap = torch.where(alone > 0, shared / alone.clamp(min=1), (shared > 0) * alpha).clamp(max=alpha)
        return _merged(base, sources, epsilon, (1 + float(parameters.shared["r"]) * overlap).tolist())


def _merged(
    base: torch.Tensor, sources: Sequence[torch.Tensor], epsilon: float, alone: Sequence[float]
) -> torch.Tensor:
    """The base plus the mean of what is larger than `epsilon`; `alone` are factors for changes of one source only."""

    def mean(change: torch.Tensor) -> torch.Tensor:
        made = change.abs() > epsilon
        by = made.sum(0)
        factors = torch.tensor(alone, dtype=change.dtype, device=change.device).unsqueeze(1)
        return (change * made * torch.where(by == 1, factors, 1.0)).sum(0) / by.clamp(min=1)

    return add_changes(base, ((part, mean(change)) for part, change in changes(base, sources)))
