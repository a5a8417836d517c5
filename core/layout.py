"""Where a tensor sits in a transformer, told from its name: its layer, and the kind of module."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

Module: TypeAlias = Literal["attention", "mlp", "other"]
MODULES: tuple[Module, ...] = ("attention", "mlp", "other")

_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks|block)\.(\d+)\.(.*)$")
_ATTENTION = {"self_attn", "attn", "attention", "self_attention", "linear_attn"}
_MLP = {"mlp", "feed_forward", "ffn", "fc1", "fc2", "block_sparse_moe", "moe"}


@dataclass(frozen=True)
class Place:
    """Attributes: `layer` counted from 0, None outside the layers; `module`, where `other` is embeddings and norms."""

    layer: int | None
    module: Module


@lru_cache(maxsize=1 << 16)
def place_of(name: str) -> Place:
    """The place of a tensor, by the module names that transformers uses.

    >>> place_of("model.layers.3.self_attn.q_proj.weight")
    Place(layer=3, module='attention')
    >>> place_of("model.layers.3.post_attention_layernorm.weight")
    Place(layer=3, module='other')
    """
    match = _LAYER.search(name)
    if match is None:
        return Place(None, "other")
    first = match.group(2).split(".")[0]
    module: Module = "attention" if first in _ATTENTION else "mlp" if first in _MLP else "other"
    return Place(int(match.group(1)), module)


def stack_of(name: str) -> str:
    """What the names of a stack of layers begin with (a model with vision has several); empty outside the layers.

    >>> stack_of("model.layers.3.mlp.up_proj.weight")
    'model.layers.'
    """
    match = _LAYER.search(name)
    return "" if match is None else name[: match.start(1)]


def at_layer(name: str, layer: int) -> str:
    """The name that a tensor of a layer has in another layer.

    >>> at_layer("model.layers.3.mlp.up_proj.weight", 12)
    'model.layers.12.mlp.up_proj.weight'
    """
    match = _LAYER.search(name)
    return name if match is None else f"{name[: match.start(1)]}{layer}{name[match.end(1) :]}"


def layer_count(names: Iterable[str]) -> int:
    """How many layers the tensors belong to: one more than the highest layer number, 0 if there are none."""
    layers = [place.layer for name in names if (place := place_of(name)).layer is not None]
    return max(layers, default=-1) + 1
