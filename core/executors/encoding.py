"""How planned tensors stand in safetensors files: the default is one for one, quantised ones as what they stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ..checkpoints.base import TensorInfo
from ..plan import Plan, TensorPlan
from .compute import compute
from .operands import Operands


class Encoding:
    """Which tensors files hold for each planned one. What is not overridden: the tensor itself."""

    def layout(self, tensor: TensorPlan) -> Sequence[tuple[str, TensorInfo]]:
        """Names, shapes and dtypes of what `encode` gives, known without a weight."""
        return [(tensor.name, tensor.info)]

    def encode(self, tensor: TensorPlan, operands: Operands) -> Sequence[torch.Tensor]:
        """The tensors that `layout` announces, in its order.

        Raises:
            MaterialiseError: a value is not finite.
        """
        return [compute(tensor, operands)]

    def config(self, plan: Plan) -> Mapping[str, Any]:
        """What is added to config.json."""
        return {}
