"""A recipe: exactly how to build one model. Readable YAML; mergekit's `models` form is read as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from . import strict_yaml
from .errors import ConfigurationError, did_you_mean
from .genome import content_hash
from .parsing import check_keys
from .settings import Setting, dump_setting, parse_setting

_KEYS = ("merge_method", "base_model", "models", "parameters", "dtype", "out_dtype", "seed")
_NOT_YET = ("slices", "modules", "tokenizer", "tokenizer_source", "chat_template")
_WITHOUT_EFFECT = "int8_mask"  # in mergekit it saves memory and changes no result
_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16, "float64": torch.float64}


@dataclass(frozen=True)
class RecipeModel:
    """A checkpoint that is merged, with the parameters that are its own."""

    model: str
    parameters: Mapping[str, Setting] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """How to build one model.

    Attributes:
        merge_method: name of a plugin.
        models: the checkpoints in order; `base_model` may be among them (linear, slerp).
        base_model: the common ancestor, where the method needs one.
        parameters: values for all models and tensors where a model has none of its own.
        dtype: what the arithmetic is done in; None for the stored dtype.
        out_dtype: what the result is stored in; None for `dtype`, and if that is None too, the stored dtype.
        seed: in [0, 2^32), from which random methods draw.
    """

    merge_method: str
    models: tuple[RecipeModel, ...]
    base_model: str | None = None
    parameters: Mapping[str, Setting] = field(default_factory=dict)
    dtype: str | None = None
    out_dtype: str | None = None
    seed: int = 0

    @classmethod
    def from_yaml(cls, text: str, origin: str = "recipe") -> Recipe:
        """Reads what `to_yaml` wrote, or a mergekit configuration in its `models` form.

        Raises:
            ConfigurationError: bad YAML, an unknown key (with the nearest valid one), or a value of the wrong kind.
        """
        return cls.from_dict(strict_yaml.parse(text, origin), origin)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], origin: str = "recipe") -> Recipe:
        """Reads what `to_dict` wrote. Raises as `from_yaml` does."""
        for key in content:
            if key in _NOT_YET:
                raise ConfigurationError(f"{origin}: `{key}` is not supported yet; list whole checkpoints in `models`")
        check_keys(content, _KEYS, origin)
        models = content.get("models")
        if not isinstance(models, list) or not models:
            raise ConfigurationError(f"{origin}: `models` must list at least one checkpoint")
        if not isinstance(content.get("merge_method"), str):
            raise ConfigurationError(f"{origin}: `merge_method` must name a method")
        base = content.get("base_model")
        if base is not None and not isinstance(base, str):
            raise ConfigurationError(f"{origin}: `base_model` must name a checkpoint, not {base!r}")
        seed = content.get("seed", 0)
        if type(seed) is not int or not 0 <= seed < 2**32:
            raise ConfigurationError(f"{origin}: `seed` must be a whole number in [0, 2^32), not {seed!r}")
        return cls(
            merge_method=content["merge_method"],
            models=tuple(_parse_model(entry, origin) for entry in models),
            base_model=base,
            parameters=_parse_parameters(content.get("parameters"), origin),
            dtype=_parse_dtype(content.get("dtype"), origin),
            out_dtype=_parse_dtype(content.get("out_dtype"), origin),
            seed=seed,
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready content, in the order a reader expects, without what is at its default."""
        content: dict[str, Any] = {"merge_method": self.merge_method}
        if self.base_model is not None:
            content["base_model"] = self.base_model
        content["models"] = [
            {"model": entry.model, **({"parameters": _dump_parameters(entry.parameters)} if entry.parameters else {})}
            for entry in self.models
        ]
        if self.parameters:
            content["parameters"] = _dump_parameters(self.parameters)
        optional = {"dtype": self.dtype, "out_dtype": self.out_dtype, "seed": self.seed or None}
        return content | {key: value for key, value in optional.items() if value is not None}

    def to_yaml(self) -> str:
        """YAML that `from_yaml` reads back to an equal recipe."""
        return strict_yaml.dump(self.to_dict())

    @property
    def hash(self) -> str:
        """SHA-256 of the content: equal recipes have equal hashes."""
        return content_hash(self.to_dict())

    @property
    def references(self) -> list[str]:
        """The checkpoints that the recipe names, the base first, each once."""
        named = ([self.base_model] if self.base_model else []) + [entry.model for entry in self.models]
        return list(dict.fromkeys(named))


def torch_dtype(name: str) -> torch.dtype:
    """The dtype that a recipe's `dtype` names."""
    return _DTYPES[name]


def _parse_model(content: Any, origin: str) -> RecipeModel:
    if isinstance(content, str):
        return RecipeModel(content)
    if not isinstance(content, dict) or not isinstance(content.get("model"), str):
        raise ConfigurationError(f"{origin}: an entry of `models` must name its `model`: {content!r}")
    check_keys(content, ("model", "parameters"), origin)
    return RecipeModel(content["model"], _parse_parameters(content.get("parameters"), f"{origin}, {content['model']}"))


def _parse_parameters(content: Any, where: str) -> dict[str, Setting]:
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigurationError(f"{where}: `parameters` must be a mapping, not {content!r}")
    for name in content:
        if not isinstance(name, str):
            raise ConfigurationError(f"{where}: the parameter {name!r} must be a name")
    return {
        name: parse_setting(value, f"{where}, {name}") for name, value in content.items() if name != _WITHOUT_EFFECT
    }


def _dump_parameters(parameters: Mapping[str, Setting]) -> dict[str, Any]:
    return {name: dump_setting(setting) for name, setting in parameters.items()}


def _parse_dtype(content: Any, origin: str) -> str | None:
    if content is None or (isinstance(content, str) and content in _DTYPES):
        return content
    raise ConfigurationError(f"{origin}: unknown dtype {content!r}. {did_you_mean(str(content), _DTYPES)}")
