"""The parts of a recipe that name checkpoints: models, slices of their layers, and the parameters of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import ConfigurationError
from .parsing import check_keys, mapping_of
from .settings import Setting, dump_setting, parse_setting

_WITHOUT_EFFECT = ("int8_mask", "embed_slerp")  # in mergekit the first saves memory, the second does nothing any more


@dataclass(frozen=True)
class RecipeModel:
    """A checkpoint that is merged, with the parameters that are its own."""

    model: str
    parameters: Mapping[str, Setting] = field(default_factory=dict)


@dataclass(frozen=True)
class SliceSource:
    """Some consecutive layers of a checkpoint, with the parameters that are its own.

    Attributes:
        layers: the first layer and the one after the last, counted from 0.
    """

    model: str
    layers: tuple[int, int]
    parameters: Mapping[str, Setting] = field(default_factory=dict)


@dataclass(frozen=True)
class RecipeSlice:
    """Consecutive layers of the model to be built, merged from as many layers of each source.

    Attributes:
        base_model: takes the place of the recipe's.
        parameters: come before the recipe's and after a source's own.
    """

    sources: tuple[SliceSource, ...]
    base_model: str | None = None
    parameters: Mapping[str, Setting] = field(default_factory=dict)


def parse_reference(content: Any, where: str) -> str:
    """A checkpoint's reference; mergekit's mapping form (`model: {path, revision}, lora`) becomes one text."""
    if isinstance(content, str):
        return content
    if isinstance(content, dict) and "path" in content:
        check_keys(content, ("path", "revision"), where)
        path, revision = parse_reference(content["path"], where), content.get("revision")
        return path if revision is None else f"{path}@{parse_reference(revision, where)}"
    if isinstance(content, dict) and "model" in content:
        check_keys(content, ("model", "lora"), where)
        model, adapter = parse_reference(content["model"], where), content.get("lora")
        return model if adapter is None else f"{model}+{parse_reference(adapter, where)}"
    raise ConfigurationError(f"{where} must name a checkpoint, not {content!r}")


def parse_model(content: Any, where: str) -> RecipeModel:
    """An entry of `models`: a reference, or a mapping with `model` and perhaps `parameters`."""
    if isinstance(content, str):
        return RecipeModel(content)
    if not isinstance(content, dict) or "model" not in content:
        raise ConfigurationError(f"{where}: an entry of `models` must name its `model`: {content!r}")
    check_keys(content, ("model", "parameters"), where)
    model = parse_reference(content["model"], f"{where}: an entry of `models` must name its `model`: {content!r}; it")
    return RecipeModel(model, parse_parameters(content.get("parameters"), f"{where}, {model}"))


def dump_model(entry: RecipeModel) -> dict[str, Any]:
    """What `parse_model` reads back."""
    return {"model": entry.model, **_dumped("parameters", dump_parameters(entry.parameters))}


def parse_slice(content: Any, where: str) -> RecipeSlice:
    """An entry of `slices`: `sources`, and perhaps `base_model` and `parameters`."""
    found = mapping_of(content, f"{where}: an entry of `slices`")
    # mergekit reads `residual_weight` and does nothing with it
    check_keys(found, ("sources", "base_model", "parameters", "residual_weight"), where)
    sources = found.get("sources")
    if not isinstance(sources, list) or not sources:
        raise ConfigurationError(f"{where}: a slice must list its `sources`: {dict(found)}")
    base = found.get("base_model")
    parsed = RecipeSlice(
        tuple(_parse_source(entry, where) for entry in sources),
        None if base is None else parse_reference(base, f"{where}: the `base_model` of a slice"),
        parse_parameters(found.get("parameters"), f"{where}, a slice"),
    )
    depths = {source.layers[1] - source.layers[0] for source in parsed.sources}
    if len(depths) > 1:
        ranges = ", ".join(f"{list(source.layers)} of {source.model}" for source in parsed.sources)
        raise ConfigurationError(f"{where}: the sources of a slice must have equally many layers, not {ranges}")
    return parsed


def dump_slice(entry: RecipeSlice) -> dict[str, Any]:
    """What `parse_slice` reads back."""
    sources = [
        {
            "model": source.model,
            "layer_range": list(source.layers),
            **_dumped("parameters", dump_parameters(source.parameters)),
        }
        for source in entry.sources
    ]
    return {
        "sources": sources,
        **_dumped("base_model", entry.base_model),
        **_dumped("parameters", dump_parameters(entry.parameters)),
    }


def _parse_source(content: Any, where: str) -> SliceSource:
    found = mapping_of(content, f"{where}: a source of a slice")
    check_keys(found, ("model", "layer_range", "parameters"), where)
    model = parse_reference(found.get("model"), f"{where}: the `model` of a slice's source")
    layers = found.get("layer_range")
    if not (isinstance(layers, list) and len(layers) == 2 and all(type(layer) is int for layer in layers)):
        raise ConfigurationError(f"{where}, {model}: `layer_range` must be two whole numbers, not {layers!r}")
    if not 0 <= layers[0] < layers[1]:
        raise ConfigurationError(f"{where}, {model}: the `layer_range` {layers} is upside down or empty")
    return SliceSource(model, (layers[0], layers[1]), parse_parameters(found.get("parameters"), f"{where}, {model}"))


def parse_parameters(content: Any, where: str) -> dict[str, Setting]:
    """A mapping from parameter to setting, without what has no effect."""
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigurationError(f"{where}: `parameters` must be a mapping, not {content!r}")
    for name in content:
        if not isinstance(name, str):
            raise ConfigurationError(f"{where}: the parameter {name!r} must be a name")
    return {
        name: parse_setting(value, f"{where}, {name}") for name, value in content.items() if name not in _WITHOUT_EFFECT
    }


def dump_parameters(parameters: Mapping[str, Setting]) -> dict[str, Any]:
    """What `parse_parameters` reads back."""
    return {name: dump_setting(setting) for name, setting in parameters.items()}


def _dumped(key: str, value: Any) -> dict[str, Any]:
    return {key: value} if value else {}
