"""Low-rank changes of a resident model, each row of a batch with its own: one pass over the base serves many models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import linear
from transformers import PreTrainedModel

from ..core.checkpoints.adapter import AdapterCheckpoint
from ..core.errors import EvaluationError
from .low_rank import Coefficients


@dataclass(frozen=True)
class _Layer:
    """A linear layer's changes by all adapters, side by side.

    Attributes:
        down: the adapters' A, shape (ranks, in).
        up: the adapters' B, shape (out, ranks).
        scales: of each column of `up`: whose it is, and that adapter's own scale.
        first: where its ranks begin in a table of all layers' ranks.
    """

    module: torch.nn.Linear
    down: torch.Tensor
    up: torch.Tensor
    scales: tuple[tuple[str, float], ...]
    first: int

    @property
    def ranks(self) -> slice:
        return slice(self.first, self.first + len(self.scales))


class LowRankRows:
    """Adds c * scale * B (A x) to what the linear layers of a model make of x (as in multi-tenant LoRA serving:
    Chen et al., 2023, "Punica"); c is given for each row of a batch.

    Args:
        model: holds the adapters' base.
        adapters: by reference.

    Attributes:
        complete: whether every tensor that an adapter changes is the weight of a linear layer that can be reached.
    """

    def __init__(self, model: PreTrainedModel, adapters: Mapping[str, AdapterCheckpoint]) -> None:
        self._model = model
        self._layers: dict[str, _Layer] = {}
        self._width = 0
        linears = _linears(model)
        changed = {
            name: changes
            for name in next(iter(adapters.values())).tensors
            if (changes := {key: one for key, adapter in adapters.items() if (one := adapter.low_rank_change(name))})
        }
        self.complete = changed.keys() <= linears.keys()
        for name in changed.keys() & linears.keys():
            module, changes = linears[name], changed[name]
            self._layers[name] = _Layer(
                module,
                torch.cat([change.down for change in changes.values()]).to(module.weight),
                torch.cat([change.up for change in changes.values()], dim=1).to(module.weight),
                tuple((key, change.scale) for key, change in changes.items() for _ in range(len(change.down))),
                self._width,
            )
            self._width += len(self._layers[name].scales)
        self._table = self._rows = torch.empty(0, self._width)

    def set(self, candidates: Sequence[Coefficients]) -> None:
        """From now on, these are the candidates that rows may belong to."""
        table = torch.zeros(len(candidates), self._width)
        for row, coefficients in zip(table, candidates, strict=True):
            for name, factors in coefficients.items():
                layer = self._layers[name]
                row[layer.ranks] = torch.tensor([factors.get(key, 0.0) * scale for key, scale in layer.scales])
        self._table = table.to(self._model.device)

    def enter(self, candidates: Sequence[int]) -> None:
        """The next batches have a row for each of these candidates, by their number in `set`."""
        self._rows = self._table[torch.tensor(candidates, device=self._table.device)].unsqueeze(1)

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Inside, the model's rows are the candidates'; outside, it is the base."""
        hooks = [layer.module.register_forward_hook(self._hook(layer)) for layer in self._layers.values()]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _hook(self, layer: _Layer) -> Any:
        columns, down, up = layer.ranks, layer.down, layer.up.t()

        def add(_module: torch.nn.Module, arguments: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
            inputs, rows = arguments[0], self._rows[..., columns]
            if inputs.dim() != 3 or len(inputs) != len(rows):
                raise EvaluationError(f"a layer was given the shape {list(inputs.shape)}, not {len(rows)} rows")
            # in float32 and rounded once, so that a coefficient is not rounded itself
            lowered = linear(inputs, down).mul_(rows)
            output.view(-1, output.shape[-1]).addmm_(lowered.view(-1, lowered.shape[-1]), up)
            return output

        return add


def _linears(model: PreTrainedModel) -> dict[str, torch.nn.Linear]:
    """Plain linear layers by the name of their weight; not the output layer, which is given rows of its own kind."""
    head = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    return {
        f"{name}.weight": module
        for name, module in model.named_modules()
        if type(module) is torch.nn.Linear and module is not head
    }
