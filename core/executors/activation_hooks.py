"""Linear layers of a resident model that compute as a quantised engine would, which rounds their inputs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch

from ..errors import MaterialiseError
from ..quantization.activations import LinearArithmetic


class ActivationHooks:
    """Installs the arithmetic of engines, and takes it out again.

    Args:
        model: whose modules are meant; it is changed in place.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self._model = model
        self._installed: dict[str, LinearArithmetic] = {}

    @property
    def installed(self) -> Mapping[str, LinearArithmetic]:
        """What is in place now, by the modules' names."""
        return dict(self._installed)

    def set(self, wanted: Mapping[str, LinearArithmetic | None]) -> None:
        """Makes these arithmetics, and no others, be in place; those that are already stay untouched.

        Args:
            wanted: by a linear module's name in the model (`model.layers.0.mlp.up_proj`); None: the plain
                product.

        Raises:
            MaterialiseError: the model has no linear layer of that name; nothing is changed then.
        """
        chosen = {name: arithmetic for name, arithmetic in wanted.items() if arithmetic is not None}
        modules = {name: self._linear(name) for name in {*chosen, *self._installed}}
        for name, module in modules.items():
            if chosen.get(name) == self._installed.get(name):
                continue
            if name in self._installed:
                del module.forward
                del self._installed[name]
            if name in chosen:
                module.forward = partial(_linear, module, chosen[name])  # type: ignore[method-assign]
                self._installed[name] = chosen[name]

    def clear(self) -> None:
        """Takes all out."""
        self.set({})

    def _linear(self, name: str) -> torch.nn.Linear:
        try:
            module = self._model.get_submodule(name)
        except AttributeError:
            module = None
        if not isinstance(module, torch.nn.Linear):
            raise MaterialiseError(
                f"the inputs of {name!r} cannot be rounded: the model has no linear layer of that name; quantise it by "
                "a method that leaves activations alone"
            )
        return module


def _linear(module: torch.nn.Linear, arithmetic: LinearArithmetic, inputs: torch.Tensor) -> torch.Tensor:
    return arithmetic.linear(inputs, module.weight, module.bias)
