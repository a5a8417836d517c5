"""What a GGUF file says of a model's architecture, from its config.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gguf import GGUFWriter

_ARCHITECTURES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}


def architecture(config: Mapping[str, Any]) -> str:
    """llama.cpp's name of the architecture; the config is one that `unsupported` has no objection to."""
    return _ARCHITECTURES[config["model_type"]]


def unsupported(config: Mapping[str, Any]) -> str | None:
    """Why a model cannot be written as GGUF so that llama.cpp and transformers compute the same; None if it can."""
    kind = config.get("model_type")
    if kind not in _ARCHITECTURES:
        return f"its architecture is {kind!r}, and GGUF files are written of {', '.join(_ARCHITECTURES)}"
    if config.get("hidden_act", "silu") != "silu":
        return f"its activation is {config['hidden_act']!r}, and llama.cpp computes silu"
    rope = _rope(config)
    if rope.get("rope_type", rope.get("type", "default")) != "default":
        return f"its rotary embeddings are scaled ({rope.get('rope_type', rope.get('type'))}), which transformers drops"
    for bias in ("attention_bias", "mlp_bias"):
        if config.get(bias):
            return f"it has biases ({bias}), which transformers does not load from GGUF files of {kind}"
    if config.get("use_sliding_window") and config.get("sliding_window"):
        return "it has sliding windows, which llama.cpp does not know of this architecture"
    return None


def add_metadata(writer: GGUFWriter, config: Mapping[str, Any]) -> None:
    """Adds sizes and constants."""
    heads = config["num_attention_heads"]
    head = head_size(config)
    writer.add_context_length(_context(config))
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads") or heads)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(float(_rope(config).get("rope_theta", config.get("rope_theta", 10000.0))))
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])


def head_size(config: Mapping[str, Any]) -> int:
    """Values of one attention head."""
    usual = 128 if config["model_type"] == "qwen3" else config["hidden_size"] // config["num_attention_heads"]
    return int(config.get("head_dim") or usual)


def _rope(config: Mapping[str, Any]) -> Mapping[str, Any]:
    return config.get("rope_parameters") or config.get("rope_scaling") or {}


def _context(config: Mapping[str, Any]) -> int:
    # llama.cpp's llama has no window; within one it makes no difference.
    window = config.get("sliding_window") if config["model_type"] == "mistral" else None
    longest = int(config["max_position_embeddings"])
    return min(longest, int(window or longest))
