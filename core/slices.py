"""The tensors of the model to be built, and for each of them which layer of which checkpoint goes into it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import NamedTuple

import torch

from .checkpoints import Checkpoint, TensorInfo, needed_tensors
from .checkpoints.base import listed, promoted
from .checkpoints.compatibility import check_architectures, refuse
from .embeddings import embeds_input, has_row_per_token, is_output_embedding
from .errors import ConfigurationError
from .layout import Place, at_layer, layer_count, place_of, stack_of
from .recipe import Recipe, RecipeModel, RecipeSlice, SliceSource
from .settings import depth_of

_UNKNOWN = TensorInfo((), torch.float32)


class LayerRange(NamedTuple):
    """Layers of a checkpoint: the first, and the one after the last."""

    model: str
    layers: tuple[int, int]


@dataclass(frozen=True)
class OutputSlice:
    """Consecutive layers of the model to be built.

    Attributes:
        sources: what they are merged from, the base among them; of each as many layers.
        base: the common ancestor, or None.
        first: the number of its first layer in the model to be built.
    """

    sources: tuple[LayerRange, ...]
    base: str | None
    first: int = 0

    @cached_property
    def models(self) -> tuple[str, ...]:
        """The checkpoints that its layers come from."""
        return tuple(source.model for source in self.sources)

    @property
    def template(self) -> int:
        """Which source's tensors' names and shapes the slice takes: the base's, or else the first's."""
        return self.models.index(self.base) if self.base in self.models else 0

    @property
    def depth(self) -> int:
        """How many layers it has."""
        return self.sources[0].layers[1] - self.sources[0].layers[0]


@dataclass(frozen=True)
class OutputTensor:
    """A tensor of the model to be built.

    Attributes:
        inputs: its names in the slice's sources, in their order.
        t: in [0, 1], how far along the gradients it is.
        info: the slice's template's shape, and the narrowest dtype that holds what all sources have stored.
    """

    name: str
    slice: OutputSlice
    inputs: tuple[str, ...]
    place: Place
    t: float
    info: TensorInfo = _UNKNOWN


def recipe_slices(recipe: Recipe, sources: Mapping[str, Checkpoint]) -> tuple[RecipeSlice, ...]:
    """The recipe's slices; whole models are one slice, to which the base is added if it is not among them.

    Raises:
        ConfigurationError: a slice lies outside its checkpoint.
    """
    if not recipe.slices:
        entries = recipe.models
        if recipe.base_model is not None and all(entry.model != recipe.base_model for entry in entries):
            entries = (*entries, RecipeModel(recipe.base_model))
        whole = [(entry, (0, layer_count(sources[entry.model].tensors))) for entry in entries]
        return (RecipeSlice(tuple(SliceSource(entry.model, layers, entry.parameters) for entry, layers in whole)),)
    for source in (source for entry in recipe.slices for source in entry.sources):
        depth = layer_count(sources[source.model].tensors)
        if source.layers[1] > depth:
            raise ConfigurationError(
                f"{source.model} has {depth} layers; a slice of it wants {list(source.layers)}, counted from 0 and "
                "without the last"
            )
    return recipe.slices


def output_slices(entries: Sequence[RecipeSlice], base: str | None) -> tuple[OutputSlice, ...]:
    """What slices of a recipe with this base come to, one after the other."""
    found: list[OutputSlice] = []
    for entry in entries:
        first = found[-1].first + found[-1].depth if found else 0
        ranges = tuple(LayerRange(source.model, source.layers) for source in entry.sources)
        found.append(OutputSlice(ranges, entry.base_model or base, first))
    return tuple(found)


@lru_cache(maxsize=16)  # a search plans the same checkpoints again and again
def output_tensors(
    slices: tuple[OutputSlice, ...], merged: tuple[tuple[str, Checkpoint], ...], stacked: bool
) -> tuple[OutputTensor, ...]:
    """The tensors of the model to be built, in the order of the first checkpoint's, its own layers first.

    Args:
        merged: all checkpoints by reference; that which gives the config comes first.
        stacked: whether the slices were given; else there is one, of whole models that must have the same tensors.

    Raises:
        CheckpointError: a source is of another architecture, or lacks a tensor, or has it in another shape.
    """
    sources = dict(merged)
    first, *others = sources.values()
    check_architectures(first, others)
    found = list(_stacked(slices, sources) if stacked else _whole(slices[0], sources))
    problems = list(_misfits(found, sources))
    refuse(problems if stacked else [*problems, *_extras(slices[0], found, sources)])
    order = {name: number for number, name in enumerate(first.tensors)}
    found.sort(key=lambda tensor: order.get(tensor.name, len(order)))
    return tuple(replace(tensor, info=_info(tensor, sources)) for tensor in found)


def _info(tensor: OutputTensor, sources: Mapping[str, Checkpoint]) -> TensorInfo:
    stored = [sources[model].stored_dtype(name) for model, name in zip(tensor.slice.models, tensor.inputs, strict=True)]
    template = tensor.slice.template
    shape = sources[tensor.slice.models[template]].tensors[tensor.inputs[template]].shape
    return TensorInfo(shape, promoted(stored))


def _whole(one: OutputSlice, sources: Mapping[str, Checkpoint]) -> Iterator[OutputTensor]:
    names = _outside_and_inside(one, sources)
    depths: dict[str, int] = {}
    for name in names:
        stack, layer = stack_of(name), place_of(name).layer
        depths[stack] = max(depths.get(stack, 0), 0 if layer is None else layer + 1)
    for name in names:
        place = place_of(name)
        yield _placed(name, one, sources, place, depth_of(place.layer, depths[stack_of(name)]))


def _outside_and_inside(one: OutputSlice, sources: Mapping[str, Checkpoint]) -> list[str]:
    needed = {model: needed_tensors(sources[model]) for model in one.models}
    template = one.models[one.template]
    names = [name for name in sources[template].tensors if name in needed[template]]
    return [*names, *_missed_output_embeddings(needed.values(), names)]


def _missed_output_embeddings(needed: Iterable[set[str]], names: list[str]) -> list[str]:
    """Output embeddings that only others than the template have, as it ties them to the input's."""
    others = set().union(*needed) - set(names)
    return sorted(name for name in others if is_output_embedding(name))


def _stacked(slices: tuple[OutputSlice, ...], sources: Mapping[str, Checkpoint]) -> Iterator[OutputTensor]:
    first, last = slices[0], slices[-1]
    outside = [name for name in _outside_and_inside(first, sources) if place_of(name).layer is None]
    for name in outside:
        if embeds_input(name):
            yield _placed(name, first, sources, place_of(name), 0.0)
    for one in slices:
        yield from _layers(one, sources)
    for name in _outside_and_inside(last, sources):
        if place_of(name).layer is None and not embeds_input(name):
            yield _placed(name, last, sources, place_of(name), 0.0)


def _layers(one: OutputSlice, sources: Mapping[str, Checkpoint]) -> Iterator[OutputTensor]:
    template = one.sources[one.template]
    by_layer: dict[int, list[str]] = {}
    for name in sources[template.model].tensors:
        if (layer := place_of(name).layer) is not None:
            by_layer.setdefault(layer, []).append(name)
    stacks = {stack_of(name) for names in by_layer.values() for name in names}
    if len(stacks) > 1:
        raise ConfigurationError(
            f"{template.model} has {len(stacks)} stacks of layers ({', '.join(sorted(stacks))}); "
            "slices are read for models with one"
        )
    for offset in range(one.depth):
        number = one.first + offset
        for name in by_layer[template.layers[0] + offset]:
            inputs = tuple(at_layer(name, source.layers[0] + offset) for source in one.sources)
            own = at_layer(name, number)
            yield OutputTensor(own, one, inputs, place_of(own), depth_of(offset, one.depth))


def _placed(name: str, one: OutputSlice, sources: Mapping[str, Checkpoint], place: Place, t: float) -> OutputTensor:
    inputs = tuple(_stored_name(name, sources[model]) for model in one.models)
    return OutputTensor(name, one, inputs, place, t)


def _stored_name(name: str, checkpoint: Checkpoint) -> str:
    """The name itself, or the input embedding's where the checkpoint ties its output embedding to it."""
    if name in checkpoint.tensors or not is_output_embedding(name):
        return name
    tied = (other for other in checkpoint.tensors if place_of(other).layer is None and embeds_input(other))
    return next(tied, name)


def _misfits(found: list[OutputTensor], sources: Mapping[str, Checkpoint]) -> Iterator[str]:
    """For each checkpoint, the tensors that it lacks, or has in another shape (numbers of tokens aside)."""
    missing: dict[str, dict[str, None]] = {}
    shapes: dict[str, dict[str, None]] = {}
    for tensor in found:
        models, template = tensor.slice.models, tensor.slice.template
        first = int(tensor.place.layer is None and has_row_per_token(tensor.name))
        info = sources[models[template]].tensors.get(tensor.inputs[template])
        for model, name in zip(models, tensor.inputs, strict=True):
            own = sources[model].tensors.get(name)
            if own is None:
                missing.setdefault(model, {})[name] = None
            elif info is not None and own.shape[first:] != info.shape[first:]:
                shapes.setdefault(model, {})[f"{name} is {list(own.shape)}, not {list(info.shape)}"] = None
    yield from (f"{model} lacks {listed(names)}" for model, names in missing.items())
    yield from (f"{model}: {listed(texts)}" for model, texts in shapes.items())


def _extras(one: OutputSlice, found: list[OutputTensor], sources: Mapping[str, Checkpoint]) -> Iterator[str]:
    """For each checkpoint, the tensors that it has and the slice's template has not."""
    names = {tensor.name for tensor in found}
    for model in dict.fromkeys(one.models):
        if extra := sorted(needed_tensors(sources[model]) - names):
            yield f"{model} has {listed(extra)}, which {one.models[one.template]} does not"
