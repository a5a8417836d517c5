"""Squared gradients of a resident model: the diagonal of its Fisher information, weight by weight."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import PreTrainedModel

from ..core.contracts.provider import Progress

_SEED = 0
_WHAT = "how much each weight counts"


def squared_gradients(
    model: PreTrainedModel, sequences: Sequence[torch.Tensor], progress: Progress
) -> dict[str, torch.Tensor]:
    """The diagonal of the Fisher information per token, float32, of each weight's shape; 0 for embeddings and output.

    Next tokens are drawn from the model itself, so that it is the Fisher information that the divergence from this
    model is made of, and not the empirical one. The model is left as it was.

    Args:
        sequences: token ids, each of shape (1, tokens), on the model's device.
    """
    ends = {id(part.weight) for part in _ends(model)}
    squares = {name: torch.zeros_like(weight, dtype=torch.float32) for name, weight in model.named_parameters()}
    handles = []
    wanted = [(name, one) for name, one in model.named_parameters() if one.ndim > 1 and id(one) not in ends]
    for name, weight in wanted:
        weight.requires_grad_(True)
        handles.append(weight.register_post_accumulate_grad_hook(_squaring(squares[name])))  # type: ignore[no-untyped-call]
    draw = torch.Generator(device="cpu").manual_seed(_SEED)
    tokens, whole = 0, sum(ids.nbytes for ids in sequences)
    try:
        for number, ids in enumerate(sequences):
            progress(_WHAT, sum(one.nbytes for one in sequences[:number]), whole)
            with torch.enable_grad():
                logs = model(ids, use_cache=False).logits[0].float().log_softmax(-1)
                drawn = torch.multinomial(logs.detach().exp().cpu(), 1, generator=draw).to(logs.device)
                (-logs.gather(1, drawn).sum()).backward()
            tokens += ids.numel()
    finally:
        for handle in handles:
            handle.remove()
        for _, weight in wanted:
            weight.requires_grad_(False)
            weight.grad = None
    progress(_WHAT, whole, whole)
    return {name: square.div_(max(tokens, 1)) for name, square in squares.items()}


def _ends(model: PreTrainedModel) -> list[Any]:
    parts = model.get_input_embeddings(), model.get_output_embeddings()  # type: ignore[no-untyped-call]
    return [part for part in parts if part is not None]


def _squaring(total: torch.Tensor) -> Callable[[torch.Tensor], None]:
    def add(weight: torch.Tensor) -> None:
        assert weight.grad is not None
        gradient = weight.grad.float()
        total.addcmul_(gradient, gradient)
        weight.grad = None  # before the next tensor's is made

    return add
