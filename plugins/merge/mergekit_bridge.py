"""The bridge to mergekit (0.1.5 or later): what is registered there merges here too, computed by mergekit itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar

import torch

from ...core.contracts import Bridge, MergeMethod, MergeParameters
from ...core.errors import PluginError, did_you_mean
from .mergekit_parameters import OF_THE_BASE, limits_of_count, translated

_INSTALL = 'mergekit is not installed: pip install "heterosis[mergekit]"'


class MergekitBridge(Bridge):
    """mergekit's registry of merge methods, `mergekit/<name>`; imported only when it is asked for."""

    kind = "merge_methods"

    def names(self) -> Sequence[str]:
        """What is registered in mergekit now, by its own modules and by whoever else was imported."""
        try:
            return list(self._methods()) if self.origin else []
        except PluginError:  # told by `load`; a mergekit that does not work takes nothing else down
            return []

    def load(self, name: str, called: str) -> type[MergeMethod]:
        """A merge method that hands its tensors to mergekit's."""
        if not self.origin:
            raise PluginError(f"the merge method {called!r} needs mergekit. {_INSTALL}")
        methods = self._methods()
        if name not in methods:
            raise PluginError(f"mergekit has no merge method {name!r}. {did_you_mean(name, methods)}")
        spec = methods[name].spec
        contract = spec.contract
        fields = {
            "__module__": __name__,
            "__doc__": f"mergekit's {spec.pretty_name or name}.",
            "name": called,
            "theirs": methods[name],
            "parameters": translated(spec),
            "base_required": contract.base.value == "required",
            "base_optional": contract.base.value == "optional",
            "source_count": limits_of_count(contract),
            "paper": spec.reference_url or "",
        }
        return type(f"Mergekit_{name}", (_Bridged,), fields)

    def target(self, name: str) -> str:
        """The function behind a method, or its class."""
        method = self._methods()[name]
        code = getattr(method, "implementation", type(method))
        return f"{code.__module__}:{code.__qualname__}"

    @cached_property
    def origin(self) -> str:
        """`mergekit` and its version; empty if it is not installed."""
        try:
            return f"mergekit {version('mergekit')}"
        except PackageNotFoundError:
            return ""

    def _methods(self) -> Mapping[str, Any]:
        try:
            from mergekit.merge_methods.registry import registered_methods
        except Exception as error:  # somebody else's import may fail in any way
            raise PluginError(f"{self.origin} cannot be bridged (0.1.5 can): {error!r}") from error
        return {method.spec.name: method for method in registered_methods()}


class _Bridged(MergeMethod):
    """One tensor at a time through `theirs`, a merge method of mergekit."""

    theirs: ClassVar[Any]

    def merge(
        self, base: torch.Tensor | None, sources: Sequence[torch.Tensor], parameters: MergeParameters
    ) -> torch.Tensor:
        """What mergekit makes of these tensors; where it draws at random, it draws from the seed."""
        from mergekit.merge_methods.base import TensorGroup

        tensors = list(sources) if base is None else [base, *sources]
        group = TensorGroup.from_tensors(tensors, base_index=None if base is None else 0)
        devices = [sources[0].device] if sources[0].is_cuda else []
        with torch.no_grad(), torch.random.fork_rng(devices=devices):
            torch.manual_seed(parameters.seed)
            (merged,) = self.theirs((group,), parameters=self._values(parameters, with_base=base is not None))
        own = {tensor.untyped_storage().data_ptr() for tensor in tensors}
        result: torch.Tensor = merged.to(sources[0].dtype)
        return result.clone() if result.untyped_storage().data_ptr() in own else result

    def _values(self, parameters: MergeParameters, with_base: bool) -> dict[str, Any]:
        """The parameters in mergekit's form: a list for what each input has of its own, the base's first."""
        values: dict[str, Any] = {}
        for theirs in self.theirs.spec.parameters:
            whole = theirs.value_type is int
            if theirs.name in parameters.shared:
                value = parameters.shared[theirs.name]
                values[theirs.name] = round(value) if whole else value
            elif theirs.name in parameters.per_source:
                own = parameters.per_source[theirs.name]
                if with_base and theirs.scope.value == "input":
                    own = (float(parameters.shared[OF_THE_BASE + theirs.name]), *own)
                values[theirs.name] = [round(value) for value in own] if whole else list(own)
        return values
