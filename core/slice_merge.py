"""What all tensors of a slice have in common: which source is the base, and where values are looked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .contracts.merge_method import MergeMethod, ParameterSpec
from .errors import ConfigurationError
from .recipe import Recipe, RecipeSlice
from .settings import Scalar, Setting, value_for
from .slices import OutputSlice, OutputTensor


@dataclass(frozen=True)
class SliceMerge:
    """How a method merges a slice's sources.

    Attributes:
        base: which of the slice's sources is the common ancestor, or None.
        merged: which of them are merged into it.
        per_source: for each parameter that sources have of their own, each merged source's setting.
        shared: the other parameters' settings.
    """

    method: type[MergeMethod]
    base: int | None
    merged: tuple[int, ...]
    per_source: tuple[tuple[ParameterSpec, tuple[Setting, ...]], ...]
    shared: tuple[tuple[ParameterSpec, Setting], ...]

    def values(self, tensor: OutputTensor) -> tuple[dict[str, tuple[float, ...]], dict[str, Scalar]]:
        """The values for one tensor: each source's own, and those for all.

        A filter looks at the name that the tensor has in the source, or in the model to be built if it is for all.

        Raises:
            ConfigurationError: a value is missing or out of range.
        """
        per_source = {
            spec.name: tuple(
                float(self._value(spec, setting, _name(tensor, number), tensor))
                for number, setting in zip(self.merged, settings, strict=True)
            )
            for spec, settings in self.per_source
        }
        shared = {spec.name: self._value(spec, setting, tensor.name, tensor) for spec, setting in self.shared}
        return per_source, shared

    def _value(self, spec: ParameterSpec, setting: Setting, name: str, tensor: OutputTensor) -> Scalar:
        value = value_for(setting, name, tensor.place, tensor.t)
        if value is None:
            value = spec.default
        if value is None:
            raise ConfigurationError(
                f"{self.method.name} needs a value of {spec.name!r} for {tensor.name}; the recipe gives none"
            )
        if not spec.low <= value <= spec.high:
            raise ConfigurationError(f"{self.method.name}: {spec.name} = {value} is outside [{spec.low}, {spec.high}]")
        return value


def _name(tensor: OutputTensor, number: int) -> str:
    """What filters look at in a source: its layer's number, but not that it ties one embedding to the other."""
    return tensor.name if tensor.place.layer is None else tensor.inputs[number]


def slice_merge(recipe: Recipe, method: type[MergeMethod], entry: RecipeSlice, one: OutputSlice) -> SliceMerge:
    """How `method` merges a slice of the recipe; a method without a base merges it like any other source.

    Args:
        one: what `entry` comes to.

    Raises:
        ConfigurationError: the method needs a base that is not there, or another number of sources.
    """
    base = _base(method, one)
    merged = tuple(number for number, model in enumerate(one.models) if base is None or model != one.base)
    least, most = method.source_count
    if len(merged) < least or (most is not None and len(merged) > most):
        allowed = f"{least}" if most == least else f"at least {least}" if most is None else f"{least} to {most}"
        beside = "" if base is None else " besides the base"
        raise ConfigurationError(f"{method.name} merges {allowed} model(s){beside}, not {len(merged)}")

    def setting(spec: ParameterSpec, *owners: Mapping[str, Setting]) -> Setting:
        # Rules are tried in order, so that a source's own come before the slice's, and those before everybody's.
        return tuple(
            rule for owner in (*owners, entry.parameters, recipe.parameters) for rule in owner.get(spec.name, ())
        )

    own = [entry.sources[number].parameters for number in merged]
    return SliceMerge(
        method,
        base,
        merged,
        tuple(
            (spec, tuple(setting(spec, parameters) for parameters in own))
            for spec in method.parameters
            if spec.scope == "source"
        ),
        tuple((spec, setting(spec)) for spec in method.parameters if spec.scope == "shared"),
    )


def _base(method: type[MergeMethod], one: OutputSlice) -> int | None:
    if not method.base_required and (not method.base_optional or one.base is None):
        return None
    if one.base is None:
        raise ConfigurationError(f"{method.name} needs a `base_model`")
    if one.base in one.models:
        return one.models.index(one.base)
    raise ConfigurationError(
        f"{method.name}: the base {one.base!r} is not among the sources of the slice that gives the layers from "
        f"{one.first} on; add it there with the `layer_range` that stands beside the others'"
    )
