"""Statistics `fisher`: how much the likelihood of texts depends on each weight, for Fisher-weighted merging."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from transformers import PreTrainedModel

from .gathering import Gathered, Gathering, stored_form


class Fisher(Gathering):
    """The diagonal of the empirical Fisher information per token: float32, of the weight's shape, for every weight.

    sum_s (d log p(s) / d w)^2 / n over sequences s of n predicted tokens together: gradients are squared per sequence,
    never per batch, and the texts' own tokens stand for samples from the model (Matena & Raffel, 2022, section 3, draw
    them). Sequences of other lengths give figures of the same scale, so that checkpoints can be compared.

    Everything is held until the end: 4 bytes for each parameter, beside the model and the gradient of one tensor.
    """

    name = "fisher"

    def sums(self, model: PreTrainedModel, run: Callable[[], Iterator[torch.Tensor]]) -> Gathered:
        """See `Gathering.sums`."""
        squares = {name: torch.zeros_like(weight, dtype=torch.float32) for name, weight in model.named_parameters()}
        for name, weight in model.named_parameters():
            weight.requires_grad_(True)
            weight.register_post_accumulate_grad_hook(_squaring(squares[name]))  # type: ignore[no-untyped-call]
        tokens = 0
        for ids in run():
            logits = model(ids, use_cache=False).logits[0, :-1].float()
            torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum").backward()  # type: ignore[no-untyped-call]
            tokens += ids.numel() - 1
        means = {name: square.div_(tokens).cpu() for name, square in squares.items()}
        return Gathered(stored_form(model, means))


def _squaring(total: torch.Tensor) -> Callable[[torch.Tensor], None]:
    def add(weight: torch.Tensor) -> None:
        assert weight.grad is not None
        gradient = weight.grad.float()
        total.addcmul_(gradient, gradient)
        weight.grad = None  # before the next tensor's is made

    return add
