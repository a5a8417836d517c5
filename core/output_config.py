"""The config.json of the model to be built: the template's, with as many layers and tokens as there will be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .checkpoints import Checkpoint
from .embeddings import is_output_embedding
from .slices import OutputSlice, OutputTensor

_DEPTHS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")
_PER_LAYER = ("layer_types", "mlp_layer_types", "no_rope_layers", "layers_block_type")
_TIED = "tie_word_embeddings"


def output_config(
    template: Checkpoint,
    slices: Sequence[OutputSlice],
    tensors: Sequence[OutputTensor],
    sources: Mapping[str, Checkpoint],
    stacked: bool,
) -> dict[str, Any]:
    """The template's config, changed only where the model to be built differs from the template."""
    config = dict(template.config)
    if stacked:
        config = _with_depth(config, slices, sources)
    if config.get(_TIED) and any(is_output_embedding(tensor.name) for tensor in tensors):
        config[_TIED] = False  # an output embedding of its own would be passed over
    return config


def with_vocabulary(config: Mapping[str, Any], size: int) -> dict[str, Any]:
    """The config of the same model with embeddings for `size` tokens."""
    if "vocab_size" not in config and isinstance(config.get("text_config"), Mapping):
        return {**config, "text_config": with_vocabulary(config["text_config"], size)}
    return {**config, "vocab_size": size}


def _with_depth(
    config: Mapping[str, Any], slices: Sequence[OutputSlice], sources: Mapping[str, Checkpoint]
) -> dict[str, Any]:
    found = dict(config)
    for key in _DEPTHS:
        if key in config:
            found[key] = sum(one.depth for one in slices)
    for key in _PER_LAYER:
        if isinstance(config.get(key), list):
            # A layer keeps its own kind of attention wherever it comes to stand.
            lists = [(sources[one.template.model].config.get(key), one.template.layers) for one in slices]
            found[key] = [kind for kinds, (first, end) in lists for kind in (kinds or config[key])[first:end]]
    return found
