"""Whether a model can read a token tree: what its configuration says, then a comparison on made-up tokens."""

from __future__ import annotations

import inspect
import logging
from dataclasses import replace

import torch
from transformers import PreTrainedModel

from .batch import make_batch
from .forward import edge_log_likelihoods
from .token_tree import TokenTree

_logger = logging.getLogger(__name__)

_MASKED_ATTENTION = ("eager", "sdpa")
_MASKED_LAYERS = ("full_attention", "sliding_attention")
_SLOWER = "every choice is scored as a sequence of its own, which is slower"
_EXACT = (torch.float32, torch.float64)
_TOLERANCE = 1e-3
_MADE_UP = (((3, 5, 7, 11), ((13, 17, 19), (13, 23, 29), (31, 37))), ((3, 41), ((43, 47, 53), (59, 61, 67))))
"""Starts and their continuations: token ids without meaning, in trees of different sizes."""


def deepest_tree(model: PreTrainedModel) -> int:
    """How many tokens from node 0 to a leaf the model can read in a tree; 0 if it cannot read trees.

    A tree needs a mask of its own and explicit positions, in every layer. Attention kernels that build their own mask
    and layers that carry a state along the row cannot have that; a sliding window is counted along the row, not along
    the tree, so a tree must fit inside it.
    """
    config = model.config.get_text_config()
    # where the configuration does not tell layers apart, a window that it names is every layer's
    layers = getattr(config, "layer_types", None) or ["sliding_attention"]
    understood = (
        getattr(config, "_attn_implementation", None) in _MASKED_ATTENTION
        and not getattr(model, "_is_stateful", False)
        and "position_ids" in inspect.signature(model.forward).parameters
        and all(layer in _MASKED_LAYERS for layer in layers)
    )
    if not understood:
        return 0
    window = getattr(config, "sliding_window", None) if "sliding_attention" in layers else None
    return int(window) if window else 1 << 30


def reads_trees(model: PreTrainedModel) -> bool | None:
    """Whether the model gives the sequences of two small trees the figures that it gives them alone.

    None if its figures are not finite, which says nothing about trees.
    """
    trees = []
    alone: list[float] = []
    for start, continuations in _MADE_UP:
        tree = TokenTree()
        for continuation in continuations:
            known = len(tree.edges)
            path = tree.add(start, continuation)
            chain = TokenTree()
            chain.add(start, continuation)
            figures = edge_log_likelihoods(model, make_batch([chain], model.device)).tolist()
            # the edges of a beginning that an earlier sequence has too are compared once
            alone.extend(figure for edge, figure in zip(path, figures, strict=True) if edge >= known)
        trees.append(tree)
    batch = make_batch(trees, model.device)
    # what a model gives that takes neither the mask nor the positions
    ignorant = replace(batch, visible=None, positions=None)
    expected = torch.tensor(alone, device=model.device)
    try:
        difference = (edge_log_likelihoods(model, batch) - expected).abs()
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, TypeError, ValueError) as error:
        # chains went through, so it is the mask or the positions that it will not have
        _logger.warning("%s does not take a custom attention mask (%s): %s", type(model).__name__, error, _SLOWER)
        return False
    ignorance = (edge_log_likelihoods(model, ignorant) - expected).abs()
    if not (difference.isfinite().all() and ignorance.isfinite().all()):
        return None
    if model.dtype in _EXACT:
        alike = float(difference.max()) <= _TOLERANCE
    else:
        # rounding in half precision grows with the model, so it is measured by what it must not be mistaken for
        alike = float(difference.mean()) <= float(ignorance.mean()) / 4
    if not alike:
        _logger.warning(
            "%s does not honour a custom attention mask (log-likelihoods differ by up to %.3g): %s",
            type(model).__name__,
            float(difference.max()),
            _SLOWER,
        )
    return alike
