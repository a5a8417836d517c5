"""Hypothesis strategies for architectures: plans of models with random widths, layers and kinds, without weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import torch
from hypothesis import strategies as st

from ..core.checkpoints.base import TensorInfo
from ..core.plan import Plan, TensorPlan

_WIDTHS = st.sampled_from([32, 48, 64, 96, 128, 256])


@dataclass(frozen=True)
class Blueprint:
    """What level genes look at of a plan."""

    tensors: tuple[TensorPlan, ...]
    config: dict[str, Any] = field(default_factory=dict)


@st.composite
def architectures(draw: st.DrawFn, most_layers: int = 4) -> Plan:
    """Decoders of 1 to `most_layers` layers, some with experts, with weights of float32 or bfloat16."""
    hidden, width, keys = draw(_WIDTHS), draw(_WIDTHS), draw(_WIDTHS)
    layers, experts = draw(st.integers(1, most_layers)), draw(st.sampled_from([0, 0, 2, 3]))
    dtype = draw(st.sampled_from([torch.float32, torch.bfloat16]))
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (draw(st.integers(3, 50)), hidden)}
    for layer in range(layers):
        start = f"model.layers.{layer}."
        shapes[start + "input_layernorm.weight"] = (hidden,)
        for name, rows in (("q_proj", hidden), ("k_proj", keys), ("v_proj", keys), ("o_proj", hidden)):
            shapes[f"{start}self_attn.{name}.weight"] = (rows, hidden)
        places = [f"{start}mlp.experts.{number}." for number in range(experts)] or [f"{start}mlp."]
        if experts:
            shapes[f"{start}mlp.gate.weight"] = (experts, hidden)
        for place in places:
            shapes[place + "gate_proj.weight"] = (width, hidden)
            shapes[place + "up_proj.weight"] = (width, hidden)
            shapes[place + "down_proj.weight"] = (hidden, width)
    if draw(st.booleans()):
        shapes["lm_head.weight"] = shapes["model.embed_tokens.weight"]
    tensors = tuple(TensorPlan(name, TensorInfo(shape, dtype), ()) for name, shape in shapes.items())
    config = {"num_hidden_layers": layers, "num_attention_heads": 2, "hidden_size": hidden}
    return cast(Plan, Blueprint(tensors, config))
