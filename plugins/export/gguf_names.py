"""What llama.cpp calls tensors, and how it orders the rows of some."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch

from ...core.errors import ConfigurationError

_OUTSIDE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
_INSIDE = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
_NAME = re.compile(r"(?:model\.layers\.(\d+)\.)?(.+)\.(weight|bias)$")


def gguf_name(name: str) -> str:
    """The name in a GGUF file of a tensor of a llama, mistral, qwen2 or qwen3 model.

    >>> gguf_name("model.layers.3.mlp.up_proj.weight")
    'blk.3.ffn_up.weight'

    Raises:
        ConfigurationError: such models have no tensor of this name.
    """
    match = _NAME.match(name)
    layer, module, kind = match.groups() if match else (None, "", "")
    found = (_OUTSIDE if layer is None else _INSIDE).get(module)
    if found is None:
        raise ConfigurationError(f"llama.cpp has no name for the tensor {name!r}; choose another target than gguf")
    return f"{found}.{kind}" if layer is None else f"blk.{layer}.{found}.{kind}"


def row_order(name: str, rows: int, config: Mapping[str, Any]) -> torch.Tensor | None:
    """The rows of a tensor in llama.cpp's order; None where it is the same.

    Its llama turns neighbouring values of queries and keys together, transformers' those half a head apart.
    """
    if config["model_type"] not in ("llama", "mistral"):
        return None
    heads = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}.get(name.split(".")[-2])
    if heads is None:
        return None
    count = config.get(heads) or config["num_attention_heads"]
    return torch.arange(rows).view(count, 2, rows // count // 2).transpose(1, 2).reshape(-1)
