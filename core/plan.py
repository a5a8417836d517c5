"""A plan: for each tensor of the model to be built, its shape, dtype, inputs and steps. Data, no weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch

from . import registry
from .checkpoints import Checkpoint, TensorInfo, needed_tensors
from .contracts.merge_method import MergeMethod, ParameterSpec
from .errors import ConfigurationError, did_you_mean
from .genome import content_hash
from .layout import layer_count, place_of
from .recipe import Recipe, RecipeModel, torch_dtype
from .seeds import derived_seed
from .settings import Scalar, Setting, value_for


class Operand(NamedTuple):
    """A tensor that goes into a merge: which checkpoint (by reference) holds it, and under which name."""

    checkpoint: str
    tensor: str


@dataclass(frozen=True)
class MergeStep:
    """Merging one tensor: the method, the tensors that go into it, and the values of its parameters.

    Attributes:
        base: the common ancestor's tensor, or None.
        sources: in the recipe's order.
        dtype: what the arithmetic is done in.
        seed: this tensor's own.
    """

    method: str
    base: Operand | None
    sources: tuple[Operand, ...]
    per_source: Mapping[str, tuple[float, ...]]
    shared: Mapping[str, float | bool]
    dtype: torch.dtype
    seed: int


@dataclass(frozen=True)
class TensorPlan:
    """How the tensor that will be called `name` comes about: `steps` in order."""

    name: str
    info: TensorInfo
    steps: tuple[MergeStep, ...]

    @cached_property
    def hash(self) -> str:
        """SHA-256 of everything the tensor depends on, within one set of checkpoints."""
        steps: list[dict[str, Any]] = [
            {**vars(step), "per_source": dict(step.per_source), "shared": dict(step.shared), "dtype": str(step.dtype)}
            for step in self.steps
        ]
        return content_hash([self.name, list(self.info.shape), str(self.info.dtype), steps])


@dataclass(frozen=True)
class Plan:
    """How to build one model.

    Attributes:
        tensors: in the template's order.
        template: the checkpoint whose config and tokenizer the model gets.
        sources: the open checkpoints, by reference.
    """

    recipe: Recipe
    tensors: tuple[TensorPlan, ...]
    template: Checkpoint
    sources: Mapping[str, Checkpoint]


def plan(recipe: Recipe, sources: Mapping[str, Checkpoint]) -> Plan:
    """Plans the model that `recipe` describes.

    Raises:
        PluginError: the merge method is not installed.
        ConfigurationError: a checkpoint is not open, the method is given too few or too many sources, or a parameter
            is unknown, missing or out of range.
    """
    method: type[MergeMethod] = registry.load("merge_methods", recipe.merge_method)
    for reference in recipe.references:
        if reference not in sources:
            raise ConfigurationError(f"the recipe names {reference!r}. {did_you_mean(reference, sources)}")
    base, models = _split_base(recipe, method)
    _check_parameter_names(recipe, method)
    template = sources[base or models[0].model]
    layers = layer_count(template.tensors)
    needed = needed_tensors(template)
    tensors = tuple(
        TensorPlan(name, TensorInfo(info.shape, out), (_without_idle_merge(step, method, sources),))
        for name, info in template.tensors.items()
        if name in needed
        for out, step in [_plan_tensor(recipe, method, base, models, name, info, layers)]
    )
    return Plan(recipe, tensors, template, sources)


def _split_base(recipe: Recipe, method: type[MergeMethod]) -> tuple[str | None, tuple[RecipeModel, ...]]:
    """The base and the models to be merged into it; a method without a base merges it like any other."""
    if method.base_required:
        if recipe.base_model is None:
            raise ConfigurationError(f"{method.name} needs a `base_model`")
        base, models = recipe.base_model, tuple(entry for entry in recipe.models if entry.model != recipe.base_model)
    else:
        base, models = None, recipe.models
    least, most = method.source_count
    if len(models) < least or (most is not None and len(models) > most):
        allowed = f"{least}" if most == least else f"at least {least}" if most is None else f"{least} to {most}"
        beside = " besides the base" if method.base_required else ""
        raise ConfigurationError(f"{method.name} merges {allowed} model(s){beside}, not {len(models)}")
    return base, models


def _check_parameter_names(recipe: Recipe, method: type[MergeMethod]) -> None:
    valid = {spec.name for spec in method.parameters}
    for name in [*recipe.parameters, *(name for entry in recipe.models for name in entry.parameters)]:
        if name not in valid:
            raise ConfigurationError(f"{method.name} has no parameter {name!r}. {did_you_mean(name, valid)}")


def _plan_tensor(
    recipe: Recipe,
    method: type[MergeMethod],
    base: str | None,
    models: tuple[RecipeModel, ...],
    name: str,
    info: TensorInfo,
    layers: int,
) -> tuple[torch.dtype, MergeStep]:
    work = torch_dtype(recipe.dtype) if recipe.dtype else info.dtype
    out = torch_dtype(recipe.out_dtype) if recipe.out_dtype else work
    if not info.dtype.is_floating_point:
        reference = base or models[0].model
        return info.dtype, MergeStep("passthrough", None, (Operand(reference, name),), {}, {}, info.dtype, 0)
    place = place_of(name)

    def value(spec: ParameterSpec, settings: list[Setting | None]) -> Scalar:
        found = [value_for(setting, name, place, layers) for setting in settings if setting is not None]
        return _checked(spec, next((value for value in found if value is not None), spec.default), name, method)

    per_source = {
        spec.name: tuple(
            float(value(spec, [entry.parameters.get(spec.name), recipe.parameters.get(spec.name)])) for entry in models
        )
        for spec in method.parameters
        if spec.scope == "source"
    }
    shared = {
        spec.name: value(spec, [recipe.parameters.get(spec.name)])
        for spec in method.parameters
        if spec.scope == "shared"
    }
    seed = derived_seed(recipe.seed, "merge", name)
    ancestor = None if base is None else Operand(base, name)
    merged = tuple(Operand(entry.model, name) for entry in models)
    return out, MergeStep(method.name, ancestor, merged, per_source, shared, work, seed)


def _without_idle_merge(
    step: MergeStep, method: type[MergeMethod], sources: Mapping[str, Checkpoint]
) -> MergeStep:
    """The base's own tensor where no source changes it (adapters leave embeddings and norms alone, for example)."""
    if step.base is None or not method.keeps_base:
        return step
    base = sources[step.base.checkpoint]
    if not all(
        operand.tensor == step.base.tensor and sources[operand.checkpoint].shares(operand.tensor, base)
        for operand in step.sources
    ):
        return step
    return MergeStep("passthrough", None, (step.base,), {}, {}, step.dtype, 0)


def _checked(spec: ParameterSpec, value: Scalar | None, name: str, method: type[MergeMethod]) -> Scalar:
    if value is None:
        raise ConfigurationError(f"{method.name} needs a value of {spec.name!r} for {name}; the recipe gives none")
    if not spec.low <= value <= spec.high:
        raise ConfigurationError(f"{method.name}: {spec.name} = {value} is outside [{spec.low}, {spec.high}]")
    return value
