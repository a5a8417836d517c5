"""A recipe: exactly how to build one model. Readable YAML, a superset of mergekit's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from . import strict_yaml
from .errors import ConfigurationError, did_you_mean
from .genome import content_hash
from .parsing import check_keys, mapping_of
from .quantization.quantization import Quantization
from .recipe_parts import (
    RecipeModel,
    RecipeSlice,
    SliceSource,
    dump_model,
    dump_parameters,
    dump_slice,
    parse_model,
    parse_parameters,
    parse_reference,
    parse_slice,
)
from .settings import Setting
from .statistics import Given, parse_statistics
from .tokenizer_policy import TokenizerPolicy, dump_policy, parse_policy

__all__ = ["Recipe", "RecipeModel", "RecipeSlice", "SliceSource", "torch_dtype"]

_FORMS = ("models", "slices", "modules")
_KEYS = (
    "merge_method",
    "base_model",
    *_FORMS,
    "parameters",
    "dtype",
    "out_dtype",
    "tokenizer_source",
    "tokenizer",
    "chat_template",
    "statistics",
    "quantize",
    "seed",
)
_WITHOUT_EFFECT = ("name", "int8_mask")  # mergekit passes over any key that it does not know; these are often written
_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16, "float64": torch.float64}


@dataclass(frozen=True)
class Recipe:
    """How to build one model.

    Attributes:
        merge_method: name of a plugin.
        models: whole checkpoints, in order; `base_model` may be among them (linear, slerp). Empty if there are slices.
        base_model: the common ancestor, where the method needs one; config and tokenizer are taken from it.
        parameters: values for all models and tensors where a model has none of its own.
        dtype: what the arithmetic is done in; None for the stored dtype.
        out_dtype: what the result is stored in; None for `dtype`, and if that is None too, the stored dtype.
        seed: in [0, 2^32), from which random methods draw.
        slices: instead of `models`: the model's layers from the first to the last, slice by slice.
        tokenizer: which vocabulary the model gets; None where all have the same.
        chat_template: `auto` (what most of the checkpoints have), the name of a known template, or the template
            itself; None for the template checkpoint's.
        statistics: what the method needs to know of the models: a file of texts to gather it on (or a `.safetensors`
            file of it) for all, or one for each by its reference; None for methods that need nothing.
        quantize: how the merged weights are quantised; None if they stay as they are.
    """

    merge_method: str
    models: tuple[RecipeModel, ...] = ()
    base_model: str | None = None
    parameters: Mapping[str, Setting] = field(default_factory=dict)
    dtype: str | None = None
    out_dtype: str | None = None
    seed: int = 0
    slices: tuple[RecipeSlice, ...] = ()
    tokenizer: TokenizerPolicy | None = None
    chat_template: str | None = None
    statistics: Given = None
    quantize: Quantization | None = None

    @classmethod
    def from_yaml(cls, text: str, origin: str = "recipe") -> Recipe:
        """Reads what `to_yaml` wrote, or a mergekit configuration.

        Raises:
            ConfigurationError: bad YAML, an unknown key (with the nearest valid one), or a value of the wrong kind.
        """
        return cls.from_dict(strict_yaml.parse(text, origin), origin)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], origin: str = "recipe") -> Recipe:
        """Reads what `to_dict` wrote. Raises as `from_yaml` does."""
        check_keys(content, (*_KEYS, *_WITHOUT_EFFECT), origin)
        parameters = parse_parameters(content.get("parameters"), origin)
        content, parameters = _without_modules(content, parameters, origin)
        models, slices = _listed(content, "models", origin), _listed(content, "slices", origin)
        if not models and not slices:
            raise ConfigurationError(f"{origin}: `models` must list at least one checkpoint, or `slices` their layers")
        if models and slices:
            raise ConfigurationError(f"{origin}: give `models` or `slices`, not both")
        if not isinstance(content.get("merge_method"), str):
            raise ConfigurationError(f"{origin}: `merge_method` must name a method")
        base = content.get("base_model")
        seed = content.get("seed", 0)
        if type(seed) is not int or not 0 <= seed < 2**32:
            raise ConfigurationError(f"{origin}: `seed` must be a whole number in [0, 2^32), not {seed!r}")
        quantize = content.get("quantize")
        template = content.get("chat_template")
        if template is not None and not isinstance(template, str):
            raise ConfigurationError(f"{origin}: `chat_template` must be text, not {template!r}")
        return cls(
            merge_method=content["merge_method"],
            models=tuple(parse_model(entry, origin) for entry in models),
            base_model=None if base is None else parse_reference(base, f"{origin}: `base_model`"),
            parameters=parameters,
            dtype=_parse_dtype(content.get("dtype"), origin),
            out_dtype=_parse_dtype(content.get("out_dtype"), origin),
            seed=seed,
            slices=tuple(parse_slice(entry, origin) for entry in slices),
            tokenizer=parse_policy(content, origin),
            chat_template=template or None,
            statistics=parse_statistics(content.get("statistics"), origin),
            quantize=Quantization.from_dict(quantize, f"{origin}: `quantize`") if quantize is not None else None,
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready content, in the order a reader expects, without what is at its default."""
        content: dict[str, Any] = {"merge_method": self.merge_method}
        if self.base_model is not None:
            content["base_model"] = self.base_model
        if self.models:
            content["models"] = [dump_model(entry) for entry in self.models]
        if self.slices:
            content["slices"] = [dump_slice(entry) for entry in self.slices]
        if self.parameters:
            content["parameters"] = dump_parameters(self.parameters)
        optional = {
            "dtype": self.dtype,
            "out_dtype": self.out_dtype,
            **dump_policy(self.tokenizer),
            "chat_template": self.chat_template,
            "statistics": self.statistics,
            "quantize": self.quantize.to_dict() if self.quantize else None,
            "seed": self.seed or None,
        }
        return content | {key: value for key, value in optional.items() if value is not None}

    def to_yaml(self) -> str:
        """YAML that `from_yaml` reads back to an equal recipe."""
        return strict_yaml.dump(self.to_dict())

    @property
    def hash(self) -> str:
        """SHA-256 of the content: equal recipes have equal hashes."""
        return content_hash(self.to_dict())

    @property
    def merged(self) -> list[str]:
        """The checkpoints that are merged, the base first, each once."""
        named = [self.base_model] if self.base_model else []
        named += [entry.model for entry in self.models]
        for entry in self.slices:
            named += [*([entry.base_model] if entry.base_model else []), *(source.model for source in entry.sources)]
        return list(dict.fromkeys(named))

    @property
    def references(self) -> list[str]:
        """The checkpoints that the recipe names: those that are merged, then those that only give tokens."""
        return list(dict.fromkeys([*self.merged, *(self.tokenizer.references if self.tokenizer else [])]))


def torch_dtype(name: str) -> torch.dtype:
    """The dtype that a recipe's `dtype` names."""
    return _DTYPES[name]


def _without_modules(
    content: Mapping[str, Any], parameters: dict[str, Setting], origin: str
) -> tuple[Mapping[str, Any], dict[str, Setting]]:
    """mergekit's `modules` with one module in it, as plain `models` or `slices`."""
    if (modules := content.get("modules")) is None:
        return content, parameters
    found = mapping_of(modules, f"{origin}: `modules`")
    if len(found) != 1 or any(content.get(form) is not None for form in ("models", "slices")):
        raise ConfigurationError(
            f"{origin}: `modules` is read with one module in it and without `models` or `slices` beside it; "
            f"it has {', '.join(found) or 'none'}"
        )
    (name,) = found
    where = f"{origin}, module {name!r}"
    module = mapping_of(found[name], where)
    check_keys(module, ("models", "slices", "parameters"), where)
    own = parse_parameters(module.get("parameters"), where)
    # A parameter's rules are tried in order, so that the module's before everybody's means what mergekit means.
    merged = {key: own.get(key, ()) + parameters.get(key, ()) for key in [*own, *parameters]}
    rest = {key: value for key, value in content.items() if key != "modules"}
    return {**rest, **{form: module[form] for form in ("models", "slices") if form in module}}, merged


def _listed(content: Mapping[str, Any], key: str, origin: str) -> list[Any]:
    entries = content.get(key)
    if entries is None:
        return []
    if not isinstance(entries, list) or not entries:
        raise ConfigurationError(
            f"{origin}: `{key}` must list at least one {'checkpoint' if key == 'models' else key[:-1]}"
        )
    return entries


def _parse_dtype(content: Any, origin: str) -> str | None:
    if content is None or (isinstance(content, str) and content in _DTYPES):
        return content
    raise ConfigurationError(f"{origin}: unknown dtype {content!r}. {did_you_mean(str(content), _DTYPES)}")
