"""A plan: for each tensor of the model to be built, its shape, dtype, inputs and steps. Data, no weights."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any, NamedTuple

import torch

from . import registry
from .aligned_sources import Aligned, aligned_sources
from .checkpoints import Checkpoint, TensorInfo
from .contracts.merge_method import MergeMethod
from .errors import ConfigurationError, PluginError, did_you_mean
from .genome import content_hash
from .layout import layer_count
from .output_config import output_config, with_vocabulary
from .quantization.groups import group_of
from .quantization.level import Level
from .quantization.rotation import MATRIX
from .quantization.target import target_of
from .recipe import Recipe, torch_dtype
from .rotate import RotateStep, rotated
from .seeds import derived_seed
from .slice_merge import SliceMerge, slice_merge
from .slices import OutputTensor, output_slices, output_tensors, recipe_slices
from .statistics import Need, needed_calibration, needed_rotation, needed_statistics, statistics_of
from .vocabulary import Vocabulary


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
        statistics: of each source's tensor; empty if it has none or the method needs none.
    """

    method: str
    base: Operand | None
    sources: tuple[Operand, ...]
    per_source: Mapping[str, tuple[float, ...]]
    shared: Mapping[str, float | bool]
    dtype: torch.dtype
    seed: int
    statistics: tuple[Operand, ...] = ()


@dataclass(frozen=True)
class QuantizeStep:
    """Quantising one merged tensor.

    Attributes:
        options: a value for each option of the quantiser.
        calibration: statistics of the layer's inputs, of each model that was merged; empty if there are none.
        shares: in which these are mixed: at least 0, of sum 1.
    """

    level: Level
    options: Mapping[str, float | int | bool | str]
    calibration: tuple[Operand, ...] = ()
    shares: tuple[float, ...] = ()


@dataclass(frozen=True)
class TensorPlan:
    """How the tensor that will be called `name` comes about: `steps` in order, then `rotate` and `quantize`, if any.

    Attributes:
        info: its shape, and the dtype that it has in the model, quantised or not.
    """

    name: str
    info: TensorInfo
    steps: tuple[MergeStep, ...]
    quantize: QuantizeStep | None = None
    rotate: RotateStep | None = None

    @property
    def level(self) -> Level | None:
        """How it is quantised; None if it is not."""
        return self.quantize.level if self.quantize else None

    @cached_property
    def hash(self) -> str:
        """SHA-256 of everything the tensor depends on, within one set of checkpoints."""
        steps: list[dict[str, Any]] = [
            {**vars(step), "per_source": dict(step.per_source), "shared": dict(step.shared), "dtype": str(step.dtype)}
            for step in self.steps
        ]
        content: list[Any] = [self.name, list(self.info.shape), str(self.info.dtype), steps]
        if self.rotate is not None:
            content.append({"rotate": self.rotate.content})
        if self.quantize is not None:
            step = self.quantize
            content.append([step.level.label, dict(step.options), step.calibration, step.shares])
        return content_hash(content)


@dataclass(frozen=True)
class Plan:
    """How to build one model.

    Attributes:
        tensors: in the template's order; layers that it has not come after those that it has.
        template: the checkpoint whose config and tokenizer the model gets.
        sources: the open checkpoints, by reference.
        config: the model's config.json: the template's, with another number of layers or of tokens if need be.
        vocabulary: where the recipe has a policy for it; None means the template's.
    """

    recipe: Recipe
    tensors: tuple[TensorPlan, ...]
    template: Checkpoint
    sources: Mapping[str, Checkpoint]
    config: Mapping[str, Any]
    vocabulary: Vocabulary | None = None


def plan(recipe: Recipe, sources: Mapping[str, Checkpoint]) -> Plan:
    """Plans the model that `recipe` describes.

    Raises:
        PluginError: the merge method is not installed.
        ConfigurationError: a checkpoint is not open, the method is given too few or too many sources, or a parameter
            is unknown, missing or out of range; statistics are not given, not open, or lack a tensor; or weights are
            given a level that they cannot have, or whose quantiser must know their inputs, of which nothing is known;
            or the model is of a family that cannot be rotated, and should be.
        CheckpointError: the checkpoints have not the same architecture, tensors or (without a policy) vocabulary.
    """
    method: type[MergeMethod] = registry.load("merge_methods", recipe.merge_method)
    for reference in recipe.references:
        if reference not in sources:
            raise ConfigurationError(f"the recipe names {reference!r}. {did_you_mean(reference, sources)}")
    _check_parameter_names(recipe, method)
    entries = recipe_slices(recipe, sources)
    slices = output_slices(entries, recipe.base_model)
    merges = {one.first: slice_merge(recipe, method, entry, one) for entry, one in zip(entries, slices, strict=True)}
    merged = tuple((reference, sources[reference]) for reference in recipe.merged)
    found = output_tensors(slices, merged, bool(recipe.slices))
    template = merged[0][1]
    sources, aligned, vocabulary = aligned_sources(recipe, found, sources)
    needs = needed_statistics(recipe)
    planned = (_plan_tensor(recipe, merges[tensor.slice.first], tensor, sources, aligned) for tensor in found)
    tensors = tuple(_with_statistics(tensor, method, needs, sources) for tensor in planned)
    config = output_config(template, slices, found, sources, stacked=bool(recipe.slices))
    if vocabulary is not None:
        config = with_vocabulary(config, vocabulary.size, vocabulary.rows[recipe.merged[0]])
    if recipe.quantize is not None and recipe.quantize.rotation is not None:
        tensors, config = rotated(tensors, config, recipe.seed, _learned_rotation(recipe, sources))
    return Plan(recipe, with_levels(tensors, recipe, sources), template, sources, config, vocabulary)


def _learned_rotation(recipe: Recipe, sources: Mapping[str, Checkpoint]) -> tuple[str, str, str] | None:
    need = needed_rotation(recipe)
    if need is None:
        return None
    ((key, name),) = statistics_of([(need.model, MATRIX)], {need.model: need}, sources)
    return need.kind, key, name


def _check_parameter_names(recipe: Recipe, method: type[MergeMethod]) -> None:
    valid = {spec.name for spec in method.parameters}
    owners: list[Any] = [
        recipe,
        *recipe.models,
        *recipe.slices,
        *(part for one in recipe.slices for part in one.sources),
    ]
    for name in dict.fromkeys(name for owner in owners for name in owner.parameters if name not in valid):
        if not _of_another_method(name):
            raise ConfigurationError(f"{method.name} has no parameter {name!r}. {did_you_mean(name, valid)}")
        # mergekit passes them over without a word, and configurations that are handed around have such.
        warnings.warn(f"{method.name} makes no use of {name!r}", stacklevel=3)


@cache
def _of_another_method(parameter: str) -> bool:
    for name in registry.names("merge_methods"):
        with suppress(PluginError):
            method: type[MergeMethod] = registry.load("merge_methods", name)
            if any(spec.name == parameter for spec in method.parameters):
                return True
    return False


def _plan_tensor(
    recipe: Recipe, merge: SliceMerge, tensor: OutputTensor, sources: Mapping[str, Checkpoint], aligned: Aligned
) -> TensorPlan:
    operands = [
        Operand(key, tensor.name) if (key := aligned.get((tensor.name, model))) else Operand(model, name)
        for model, name in zip(tensor.slice.models, tensor.inputs, strict=True)
    ]
    template = operands[tensor.slice.template]
    shape, stored = sources[template.checkpoint].tensors[template.tensor].shape, tensor.info.dtype
    if not stored.is_floating_point:
        return TensorPlan(tensor.name, TensorInfo(shape, stored), (_copy(template, stored),))
    work = torch_dtype(recipe.dtype) if recipe.dtype else stored
    out = torch_dtype(recipe.out_dtype) if recipe.out_dtype else work
    per_source, shared = merge.values(tensor)
    step = MergeStep(
        merge.method.name,
        None if merge.base is None else operands[merge.base],
        tuple(operands[number] for number in merge.merged),
        per_source,
        shared,
        work,
        derived_seed(recipe.seed, "merge", tensor.name),
    )
    return TensorPlan(tensor.name, TensorInfo(shape, out), (_without_idle_merge(step, merge.method, sources),))


def _with_statistics(
    tensor: TensorPlan, method: type[MergeMethod], needs: Mapping[str, Need], sources: Mapping[str, Checkpoint]
) -> TensorPlan:
    (step,) = tensor.steps
    if method.needs_statistics is None or step.method != method.name:
        return tensor
    if any(operand.checkpoint not in needs for operand in step.sources):
        return tensor  # statistics go by a checkpoint's own tokens, and these rows are those of another vocabulary
    found = tuple(Operand(*place) for place in statistics_of(step.sources, needs, sources))
    return replace(tensor, steps=(replace(step, statistics=found),))


def _without_idle_merge(step: MergeStep, method: type[MergeMethod], sources: Mapping[str, Checkpoint]) -> MergeStep:
    """The base's own tensor where no source changes it (adapters leave embeddings and norms alone, for example)."""
    if step.base is None or not method.keeps_base:
        return step
    base = sources[step.base.checkpoint]
    if not all(
        operand.tensor == step.base.tensor and sources[operand.checkpoint].shares(operand.tensor, base)
        for operand in step.sources
    ):
        return step
    return _copy(step.base, step.dtype)


def _copy(operand: Operand, dtype: torch.dtype) -> MergeStep:
    method: type[MergeMethod] = registry.load("merge_methods", "passthrough")
    defaults = {spec: spec.default for spec in method.parameters if spec.default is not None}
    own = {spec.name: (float(value),) for spec, value in defaults.items() if spec.scope == "source"}
    shared = {spec.name: value for spec, value in defaults.items() if spec.scope == "shared"}
    return MergeStep(method.name, None, (operand,), own, shared, dtype, 0)


def with_levels(
    tensors: tuple[TensorPlan, ...], recipe: Recipe, sources: Mapping[str, Checkpoint]
) -> tuple[TensorPlan, ...]:
    """The tensors with the levels that the recipe gives them.

    Raises:
        ConfigurationError: a weight cannot have its level, or not beside those of others.
    """
    if recipe.quantize is None:
        return tensors
    layers = layer_count(tensor.name for tensor in tensors)
    needs = needed_calibration(recipe)
    target = target_of(recipe.quantize.target)
    for kind in target.alike:
        if len(given := set(recipe.quantize.levels.get(kind, ()))) > 1:
            raise ConfigurationError(
                f"quantize: the target {target.name!r} holds {kind} of one level in all layers, not of "
                f"{', '.join(sorted(given))}; give them one level, or choose another target"
            )

    def with_level(tensor: TensorPlan) -> TensorPlan:
        group = group_of(tensor.name) if len(tensor.info.shape) == 2 else None
        if group is None or not tensor.info.dtype.is_floating_point:
            return tensor
        assert recipe.quantize is not None
        level = recipe.quantize.level_of(group, layers)
        refusal = target.refuses(level, group, tensor.info)
        if refusal is not None:
            named = "no level" if level is None else f"the level {level.label!r}"
            raise ConfigurationError(
                f"quantize: {tensor.name} ({group}, {list(tensor.info.shape)}) cannot have {named} in the target "
                f"{target.name!r}: {refusal}"
            )
        if level is None:
            return tensor
        places, shares = _calibration_of(tensor, needs, sources)
        if not places and level.plugin.needs_calibration:
            raise ConfigurationError(
                f"quantize: {level.quantizer} must know the inputs of {tensor.name}, of which there is no calibration; "
                + ("give `calibration`, a file of texts" if not needs else f"give {group.kind!r} another level")
            )
        options = recipe.quantize.options_of(level.quantizer)
        return replace(tensor, quantize=QuantizeStep(level, options, places, shares))

    found = tuple(map(with_level, tensors))
    target.check_modes(tensor.level for tensor in found)
    return found


def _calibration_of(
    tensor: TensorPlan, needs: Mapping[str, Need], sources: Mapping[str, Checkpoint]
) -> tuple[tuple[Operand, ...], tuple[float, ...]]:
    """Where the calibration of what was merged stands, and the shares of each: in proportion to |weight|, if there is
    a `weight`; equal otherwise."""
    (step,) = tensor.steps
    known = [place for place, operand in enumerate(step.sources) if operand.checkpoint in needs]
    found = statistics_of([step.sources[place] for place in known], needs, sources) if known else []
    if not found:
        return (), ()
    weights = [abs(step.per_source["weight"][place]) if "weight" in step.per_source else 1.0 for place in known]
    whole = sum(weights)
    shares = [weight / whole if whole else 1 / len(known) for weight in weights]
    return tuple(Operand(*place) for place in found), tuple(shares)
