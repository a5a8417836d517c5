"""Experts in compressed-tensors files: what transformers makes of them as it joins those of a layer into one tensor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ...core.plan import TensorPlan
from ...core.quantization.groups import EXPERTS, group_of
from .compressed_tensors_schemes import Microscaling, PackedIntegers, PlainFloats, Scheme

EVERY_EXPERT = r"re:.*\.experts\.\d+\..*"
"""Transformers takes the first scheme whose targets are a pattern with `experts` in it for all layers' experts."""

_NO_EXPERT = "re:^experts that are not quantised$"


def is_expert(name: str) -> bool:
    """Whether the tensor is a weight of one expert."""
    group = group_of(name)
    return group is not None and group.kind == EXPERTS


def refusal(scheme: Scheme) -> str | None:
    """Why transformers would not load experts of this scheme, for people; None if it would."""
    whole = isinstance(scheme, PackedIntegers) and scheme.format.symmetric
    if whole or isinstance(scheme, PlainFloats) or (isinstance(scheme, Microscaling) and not scheme.format.wide):
        return None
    return (
        "transformers 5.23 joins a layer's experts as it loads them, and leaves out zero points, MXFP8's exponents and "
        "NVFP4's second scale; give experts symmetric integers, fp8_e4m3 or mxfp4"
    )


def scheme_of_unquantised(tensors: Iterable[TensorPlan]) -> Mapping[str, Any] | None:
    """A scheme that no module has, for a model whose experts are not quantised; None for all others.

    Without one of its own transformers unpacks experts by another layer's scheme, and finds nothing to unpack. By
    this one it takes weights without scales as they are.
    """
    if not any(tensor.level is None and is_expert(tensor.name) for tensor in tensors):
        return None
    weights = {"num_bits": 8, "type": "float", "symmetric": True, "strategy": "channel"}
    return {"targets": [_NO_EXPERT], "weights": weights, "format": "float-quantized"}
