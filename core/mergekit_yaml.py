"""A recipe as a configuration of mergekit 0.1.5 that gives the same model, where mergekit can express it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import registry, strict_yaml
from .checkpoints import Checkpoint
from .checkpoints.adapter import AdapterCheckpoint
from .errors import ConfigurationError
from .mergekit_conditions import without_conditions
from .plan import Plan
from .recipe import RecipeModel, RecipeSlice, SliceSource
from .recipe_parts import dump_model, dump_parameters, dump_slice
from .settings import Setting
from .tokenizer_policy import BASE, TokenizerPolicy, TokenSource, dump_policy

_METHODS = (
    "linear",
    "slerp",
    "nuslerp",
    "multislerp",
    "karcher",
    "task_arithmetic",
    "ties",
    "dare_linear",
    "dare_ties",
    "della",
    "della_linear",
    "breadcrumbs",
    "breadcrumbs_ties",
    "model_stock",
    "nearswap",
    "arcee_fusion",
    "passthrough",
    "sce",
    "ram",
    "ramplus_tl",
)
_RANDOM = ("dare_linear", "dare_ties", "della", "della_linear")
_BRIDGE = "mergekit/"


def mergekit_yaml(plan: Plan) -> str:
    """The configuration, with comments on what mergekit does otherwise.

    Conditions by `layers` and `module`, which mergekit has not, become filters by name. Checkpoints are named by their
    absolute paths, or by their names on the hub.

    Raises:
        ConfigurationError: mergekit cannot express it; the message says what.
    """
    recipe = plan.recipe
    if recipe.quantize is not None:
        raise ConfigurationError(
            "mergekit cannot quantise; take `quantize` out of the recipe, or export another format"
        )
    names = {reference: _reference(reference, plan.sources[reference]) for reference in recipe.references}
    convert = _Converter(plan, names)
    content: dict[str, Any] = {"merge_method": _method(recipe.merge_method)}
    if recipe.base_model is not None:
        content["base_model"] = names[recipe.base_model]
    if recipe.slices:
        content["slices"] = [dump_slice(convert.slice(entry)) for entry in recipe.slices]
    else:
        content["models"] = [dump_model(convert.model(entry)) for entry in recipe.models]
    if recipe.parameters:
        content["parameters"] = dump_parameters(convert.parameters(recipe.parameters))
    optional = {
        "dtype": recipe.dtype,
        "out_dtype": recipe.out_dtype,
        **dump_policy(_policy(plan, names)),
        "chat_template": recipe.chat_template,
    }
    content |= {key: value for key, value in optional.items() if value is not None}
    return "".join(f"# {line}\n" for line in _remarks(plan)) + strict_yaml.dump(content)


class _Converter:
    """The parts of a recipe with mergekit's references, and settings without conditions that it has not."""

    def __init__(self, plan: Plan, names: Mapping[str, str]) -> None:
        self._names = names
        self._tensors = [tensor.name for tensor in plan.tensors]
        self._stacked = bool(plan.recipe.slices)

    def parameters(self, parameters: Mapping[str, Setting]) -> dict[str, Setting]:
        return {
            name: without_conditions(setting, name, self._tensors, self._stacked)
            for name, setting in parameters.items()
        }

    def model(self, entry: RecipeModel) -> RecipeModel:
        return RecipeModel(self._names[entry.model], self.parameters(entry.parameters))

    def slice(self, entry: RecipeSlice) -> RecipeSlice:
        sources = tuple(
            SliceSource(self._names[source.model], source.layers, self.parameters(source.parameters))
            for source in entry.sources
        )
        base = None if entry.base_model is None else self._names[entry.base_model]
        return RecipeSlice(sources, base, self.parameters(entry.parameters))


def _method(name: str) -> str:
    if name.startswith(_BRIDGE):
        return name.removeprefix(_BRIDGE)
    if name in _METHODS or name not in registry.names("merge_methods"):  # what is not installed here is bridged to it
        return name
    raise ConfigurationError(f"mergekit has no merge method {name!r}; it has {', '.join(_METHODS)}")


def _reference(reference: str, checkpoint: Checkpoint) -> str:
    if isinstance(checkpoint, AdapterCheckpoint):
        folder = checkpoint.weight_files()[-1].parent
        return f"{_reference(checkpoint.base.reference, checkpoint.base)}+{_path(folder)}"
    if reference.startswith("hub:") and "|" not in reference:
        return reference.removeprefix("hub:")
    return _path(checkpoint.directory)


def _path(folder: Path) -> str:
    path = str(folder.resolve())
    if "+" in path or "@" in path:
        raise ConfigurationError(f"mergekit reads '+' and '@' in {path} as an adapter and a revision; move the folder")
    return path


def _policy(plan: Plan, names: Mapping[str, str]) -> TokenizerPolicy | None:
    policy = plan.recipe.tokenizer
    if policy is None:
        return None
    source = names.get(policy.source, policy.source)
    if plan.recipe.base_model is None and source == BASE:
        source = names[plan.recipe.merged[0]]  # mergekit takes any of them for the base if none is named
    tokens = tuple(
        (token, TokenSource(names[entry.model] if entry.model else None, entry.token, entry.token_id, entry.force))
        for token, entry in policy.tokens
    )
    return TokenizerPolicy(source, tokens, policy.pad_to_multiple_of)


def _remarks(plan: Plan) -> list[str]:
    recipe = plan.recipe
    remarks = ["The recipe of a model, for mergekit: mergekit-yaml THIS_FILE OUTPUT_FOLDER"]
    if _method(recipe.merge_method) in _RANDOM:
        remarks.append(
            f"{recipe.merge_method} draws at random, and mergekit draws otherwise: where a density is below 1, the "
            "model will be as good, but not the same."
        )
    if any(isinstance(plan.sources[reference], AdapterCheckpoint) for reference in recipe.merged):
        remarks.append(
            "Adapters: say --lora-merge-cache FOLDER. mergekit rounds each merged adapter to its model's dtype before "
            "it merges them."
        )
    if recipe.tokenizer is not None and recipe.base_model is None:
        remarks.append("Without a base_model, mergekit numbers the tokens by any of the models.")
    return remarks
