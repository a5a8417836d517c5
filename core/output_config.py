"""The config.json of the model to be built: the template's, with as many layers and tokens as there will be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

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
    if config.get(_TIED, True) and any(is_output_embedding(tensor.name) for tensor in tensors):
        config[_TIED] = False  # an output embedding of its own would be passed over
    return config


def with_vocabulary(config: Mapping[str, Any], size: int, rows: torch.Tensor) -> dict[str, Any]:
    """The config of the same model with another vocabulary.

    Args:
        size: how many tokens the embeddings have rows for.
        rows: for each number of a token, the one it had before, or -1.
    """
    if "vocab_size" not in config and isinstance(config.get("text_config"), Mapping):
        return {**config, "text_config": with_vocabulary(config["text_config"], size, rows)}
    return {**renumbered(config, rows), "vocab_size": size}


def renumbered(settings: Mapping[str, Any], rows: torch.Tensor) -> dict[str, Any]:
    """Settings in which special tokens (`bos_token_id`, ...) keep their meaning; `rows` as in `with_vocabulary`."""
    numbers = {old: new for new, old in enumerate(rows.tolist()) if old >= 0}

    def renumber(old: Any) -> Any:
        return [renumber(one) for one in old] if isinstance(old, list) else numbers.get(old, old)

    return {key: renumber(value) if key.endswith("_token_id") else value for key, value in settings.items()}


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
            templates = [one.sources[one.template] for one in slices]
            lists = [(sources[template.model].config.get(key), template.layers) for template in templates]
            found[key] = [kind for kinds, (first, end) in lists for kind in (kinds or config[key])[first:end]]
    return found
