"""A resident model's output embedding: the input's own (tied), or one of its own, whichever the plan has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from ..embeddings import is_output_embedding


def fit_ties(model: torch.nn.Module, planned: Iterable[str]) -> bool:
    """Ties or unties the embeddings of a transformers model; others are left as they are.

    Args:
        planned: names of the plan's tensors; an output embedding among them means that it is not the input's.

    Returns:
        Whether the model was changed. A new output embedding holds the input's values until it is written.
    """
    head, embedding = _output_and_input(model)
    if head is None or embedding is None or head.weight.shape != embedding.weight.shape:
        return False
    is_tied = head.weight is embedding.weight
    wanted = not any(is_output_embedding(name) and name.endswith(".weight") for name in planned)
    if wanted == is_tied:
        return False
    head.weight = embedding.weight if wanted else torch.nn.Parameter(embedding.weight.detach().clone(), False)
    config: Any = model.config
    config.tie_word_embeddings = wanted
    return True


def _output_and_input(model: torch.nn.Module) -> tuple[Any, Any]:
    from transformers import PreTrainedModel

    if not isinstance(model, PreTrainedModel):
        return None, None
    untyped: Any = model
    return untyped.get_output_embeddings(), untyped.get_input_embeddings()
