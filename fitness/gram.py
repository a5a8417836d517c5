"""Statistics `gram`: how the inputs of linear layers are correlated and how large they get, for RegMean and GPTQ."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar

import torch
from transformers import PreTrainedModel

from ..core.checkpoints.statistics import maxima_name
from .gathering import Gathered, Gathering, stored_tensors


class Gram(Gathering):
    """X^T X / n of the inputs X (n tokens, in_features) of each `torch.nn.Linear`: float32, in_features^2.

    Beside it, under a name of its own, the largest |x| of each feature (`StatisticsFile.maxima`): float32, in_features.
    Layers that are given the same input (query, key and value; gate and up) share one matrix. An output layer tied to
    the embeddings has none, nor have experts that are stored in one tensor.

    Everything is held until the end: 4 * in_features^2 bytes for each distinct input, which for SmolLM2-135M
    is 0.4 GB, and for a Llama of 7B 22 GB.
    """

    name = "gram"
    version: ClassVar[int] = 2

    def sums(self, model: PreTrainedModel, run: Callable[[], Iterator[torch.Tensor]]) -> Gathered:
        """See `Gathering.sums`."""
        layers = _linear_layers(model)
        groups = _groups(layers, model)
        grams, maxima = {}, {}
        with torch.no_grad(), _hooks() as hooks:
            for leader in groups:
                size, device = layers[leader].in_features, layers[leader].weight.device
                grams[leader] = torch.zeros(size, size, device=device)
                maxima[leader] = torch.zeros(size, device=device)
                add = partial(_add, grams[leader], maxima[leader])
                hooks.append(layers[leader].register_forward_pre_hook(add))
            tokens = 0
            for ids in run():
                model(ids, use_cache=False)
                tokens += ids.numel()
        tensors = {leader: gram.div_(tokens).cpu() for leader, gram in grams.items()}
        tensors |= {maxima_name(leader): largest.cpu() for leader, largest in maxima.items()}
        return Gathered(tensors, {member: leader for leader, members in groups.items() for member in members})


def _linear_layers(model: PreTrainedModel) -> dict[str, torch.nn.Linear]:
    """The linear layers, by their weights' stored names."""
    stored = {(tensor.data_ptr(), tensor.shape): name for name, tensor in stored_tensors(model).items()}
    embeddings = model.get_input_embeddings().weight
    return {
        stored[module.weight.data_ptr(), module.weight.shape]: module
        for module in model.modules()
        if isinstance(module, torch.nn.Linear)
        and module.weight is not embeddings
        and (module.weight.data_ptr(), module.weight.shape) in stored
    }


def _groups(layers: dict[str, torch.nn.Linear], model: PreTrainedModel) -> dict[str, list[str]]:
    """The layers that are given the same tensor, by the first of each group; seen in a pass over two tokens."""
    inputs: dict[str, torch.Tensor] = {}  # held, so that no two have one identity

    def note(name: str, _module: Any, given: tuple[torch.Tensor, ...]) -> None:
        inputs.setdefault(name, given[0])

    with torch.no_grad(), _hooks() as hooks:
        hooks.extend(module.register_forward_pre_hook(partial(note, name)) for name, module in layers.items())
        model(torch.zeros(1, 2, dtype=torch.long, device=model.device), use_cache=False)
    groups: dict[int, list[str]] = {}
    for name in layers:
        groups.setdefault(id(inputs.get(name, name)), []).append(name)
    return {members[0]: members for members in groups.values()}


def _add(gram: torch.Tensor, maxima: torch.Tensor, _module: Any, given: tuple[torch.Tensor, ...]) -> None:
    rows = given[0].reshape(-1, gram.shape[0]).float()
    gram.addmm_(rows.T, rows)
    if len(rows):
        torch.maximum(maxima, rows.abs().amax(dim=0), out=maxima)


@contextmanager
def _hooks() -> Iterator[list[torch.utils.hooks.RemovableHandle]]:
    hooks: list[torch.utils.hooks.RemovableHandle] = []
    try:
        yield hooks
    finally:
        for hook in hooks:
            hook.remove()
