"""Lossless bytes: what a model takes when its bfloat16 tensors are compressed without loss."""

from __future__ import annotations

from ...core.contracts import Measured, Objective
from ...core.estimate import Estimate
from ..export.lossless import stored_bytes


class LosslessBytes(Objective):
    """Exact: the tensors that the exporter `dfloat11` would store, headers left out. To be minimised.

    Unlike `bytes` it depends on the weights, which are merged for it once more. Models of other dtypes are not
    compressed.
    """

    name = "lossless_bytes"
    unit = "bytes"

    def measure(self, measured: Measured) -> Estimate:
        """Bytes of all tensors. Raises MaterialiseError if one is not finite."""
        return Estimate(float(sum(map(stored_bytes, measured.tensors()))), 0.0, 1)
