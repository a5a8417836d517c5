"""One forward pass over a batch, with logits computed only where they are asked for."""

from __future__ import annotations

from typing import Any

import torch
from transformers import PreTrainedModel

from .batch import Batch

_CPU_LOGITS, _DEVICE_LOGITS = 1 << 17, 1 << 24
"""How many logits are turned into float32 at a time: what stays in a core's cache, elsewhere 64 MiB."""


@torch.inference_mode()
def edge_log_likelihoods(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    """Log-likelihood (natural logarithm) of each edge of the batch: shape (E,), float32, on the model's device."""
    logits = node_logits(model, batch)
    normaliser = torch.cat([part.float().logsumexp(-1) for part in in_parts(logits)])
    return logits[batch.sources, batch.targets].float() - normaliser[batch.sources]


@torch.inference_mode()
def node_logits(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    """Logits at each node of the batch that has edges: shape (N, vocabulary), on the model's device, in its dtype."""
    inputs: dict[str, Any] = {"input_ids": batch.tokens, "use_cache": False}
    if batch.visible is not None:
        hidden = torch.full((), torch.finfo(model.dtype).min, dtype=model.dtype, device=batch.visible.device)
        # additive, because eager attention adds whatever it is given
        inputs["attention_mask"] = torch.where(batch.visible, torch.zeros_like(hidden), hidden)
        inputs["position_ids"] = batch.positions
    return logits_at(model, inputs, batch.rows, batch.columns)


def in_parts(logits: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The logits in blocks of rows, as many as are best turned into float32 at a time."""
    step = max((_CPU_LOGITS if logits.device.type == "cpu" else _DEVICE_LOGITS) // logits.shape[-1], 1)
    return torch.split(logits, step)


def logits_at(
    model: PreTrainedModel, inputs: dict[str, Any], rows: torch.Tensor, columns: torch.Tensor
) -> torch.Tensor:
    """Logits at the given places of a forward pass, shape (places, vocabulary).

    The hidden states are gathered on their way into the output layer, so that the model's own code still does what it
    does with logits (softcapping, scaling), yet only for these places.
    """
    head = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    if not isinstance(head, torch.nn.Module):
        return _all_logits(model, inputs)[rows, columns]

    def gather(_: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (arguments[0][rows, columns].unsqueeze(0), *arguments[1:])

    hook = head.register_forward_pre_hook(gather)
    try:
        logits = _all_logits(model, inputs)
    finally:
        hook.remove()
    if logits.shape[:2] == (1, len(rows)):
        return logits[0]
    # a model that does not end in its output layer
    return _all_logits(model, inputs)[rows, columns]


def _all_logits(model: PreTrainedModel, inputs: dict[str, Any]) -> torch.Tensor:
    logits: torch.Tensor = model(**inputs).logits
    return logits
