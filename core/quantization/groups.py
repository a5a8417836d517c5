"""Groups: the weights that share a level, because engines compute them as one matrix."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from ..checkpoints.base import TensorInfo
from ..embeddings import is_input_embedding, is_output_embedding
from ..layout import place_of

EMBEDDING, HEAD, EXPERTS = "embedding", "head", "experts"
_FUSED = {
    "q_proj": "qkv",
    "k_proj": "qkv",
    "v_proj": "qkv",
    "qkv_proj": "qkv",
    "query_key_value": "qkv",
    "gate_proj": "gate_up",
    "up_proj": "gate_up",
    "gate_up_proj": "gate_up",
}
_ROUTERS = {"gate", "router", "shared_expert_gate"}
"""They choose experts: a few rows, whose errors send tokens astray."""


class Group(NamedTuple):
    """Attributes: `layer` counted from 0, None outside the layers; `kind` such as `qkv`, `o_proj`, `experts`."""

    layer: int | None
    kind: str

    def __str__(self) -> str:
        return self.kind if self.layer is None else f"layer {self.layer}/{self.kind}"


@lru_cache(maxsize=1 << 16)
def group_of(name: str) -> Group | None:
    """The group of a weight; None for what is never quantised (norms, biases, routers). Its shape must be a matrix's.

    >>> group_of("model.layers.3.self_attn.k_proj.weight")
    Group(layer=3, kind='qkv')
    >>> group_of("model.layers.3.mlp.experts.7.up_proj.weight")
    Group(layer=3, kind='experts')
    """
    parts = name.split(".")
    if parts[-1] != "weight" or len(parts) < 2:
        return None
    module, place = parts[-2], place_of(name)
    if place.layer is None:
        if is_output_embedding(name):
            return Group(None, HEAD)
        return Group(None, EMBEDDING) if is_input_embedding(name) else None
    if place.module == "other" or module in _ROUTERS or "norm" in module:
        return None
    return Group(place.layer, EXPERTS if "experts" in parts else _FUSED.get(module, module))


def groups_of(tensors: Mapping[str, TensorInfo] | Iterable[tuple[str, TensorInfo]]) -> dict[Group, list[str]]:
    """The groups of a model, in its order, each with the names of its weights (floating point, two dimensions)."""
    found: dict[Group, list[str]] = {}
    for name, info in tensors.items() if isinstance(tensors, Mapping) else tensors:
        if len(info.shape) == 2 and info.dtype.is_floating_point and (group := group_of(name)) is not None:
            found.setdefault(group, []).append(name)
    return found
