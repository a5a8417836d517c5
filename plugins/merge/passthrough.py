"""Passthrough: one model as it is."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ...core.contracts import MergeMethod, MergeParameters


class Passthrough(MergeMethod):
    """The only source, unchanged."""

    name = "passthrough"
    base_required = False
    source_count = (1, 1)
    elementwise = True

    def merge(
        self, base: torch.Tensor | None, sources: Sequence[torch.Tensor], parameters: MergeParameters
    ) -> torch.Tensor:
        """A copy of the source."""
        return sources[0].clone()
