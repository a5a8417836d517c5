"""Which statistics a recipe's merge method needs of which model, and under what key they are among the sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from . import registry
from .errors import ConfigurationError
from .quantization.rotation import KURTAIL

if TYPE_CHECKING:
    from .checkpoints import Checkpoint
    from .recipe import Recipe

CALIBRATION = "gram"
"""The kind of statistics that quantisers look at."""

Given: TypeAlias = str | Mapping[str, str] | None
"""What statistics are gathered on: one file for all models, or a file for each; None if nothing is said."""


class Need(NamedTuple):
    """Statistics of one model.

    Attributes:
        kind: name of a statistics plugin.
        model: reference of the checkpoint.
        file: path of texts, or of a safetensors file of statistics.
    """

    kind: str
    model: str
    file: str

    @property
    def key(self) -> str:
        """Under which the open statistics stand among a recipe's sources; no checkpoint's reference reads so."""
        return f"{self.kind} of {self.model} on {self.file}"


def needed_statistics(recipe: Recipe) -> dict[str, Need]:
    """The statistics of each model that the recipe merges, by reference; none if its method needs none.

    Raises:
        PluginError: the merge method is not installed.
        ConfigurationError: the method needs statistics that the recipe does not give, with how to give them.
    """
    method = registry.load("merge_methods", recipe.merge_method)
    if method.needs_statistics is None:
        return {}
    merged = _listed_models(recipe)
    if recipe.base_model is not None and not method.base_required:
        merged.append(recipe.base_model)  # one more model to merge
    given = recipe.statistics
    return {
        model: need_of(method.needs_statistics, model, model, given, method.name)
        for model in merged
        if not method.base_required or model != recipe.base_model
    }


def needed_calibration(recipe: Recipe) -> dict[str, Need]:
    """The statistics of layers' inputs that the recipe quantises with, by the model's reference; none if it has no
    `calibration`.

    Raises:
        ConfigurationError: there is calibration for some of the models only.
    """
    given = None if recipe.quantize is None else recipe.quantize.calibration
    if given is None:
        return {}
    return {model: need_of(CALIBRATION, model, model, given, "quantize") for model in _listed_models(recipe)}


def needed_rotation(recipe: Recipe) -> Need | None:
    """What the recipe's rotation is learned from; None if it has none, or one that is not learned.

    That is the first model that the recipe lists, on its own calibration: the same whatever method merges them.

    Raises:
        ConfigurationError: there is no calibration for some model.
    """
    if recipe.quantize is None or recipe.quantize.rotation != KURTAIL:
        return None
    return learning(list(needed_calibration(recipe).values()))


def learning(calibration: Sequence[Need]) -> Need:
    """What a rotation is learned from, given the calibration of each model in order."""
    return calibration[0]._replace(kind=KURTAIL)


def all_needs(recipe: Recipe) -> list[Need]:
    """The statistics that the recipe needs for whatever purpose. Raises as the other three do."""
    rotation = needed_rotation(recipe)
    needs = [*needed_statistics(recipe).values(), *needed_calibration(recipe).values()]
    # first: a family that cannot be rotated is refused before anything is gathered
    return list(dict.fromkeys([*([] if rotation is None else [rotation]), *needs]))


def _listed_models(recipe: Recipe) -> list[str]:
    models = [entry.model for entry in recipe.models]
    return models + [source.model for one in recipe.slices for source in one.sources]


def statistics_of(
    tensors: Sequence[tuple[str, str]], needs: Mapping[str, Need], sources: Mapping[str, Checkpoint]
) -> list[tuple[str, str]]:
    """Where the statistics of tensors that are merged stand: keys in `sources`, and names there.

    Args:
        tensors: of each, the reference of its checkpoint and its name there.

    Returns:
        Nothing if none of them has statistics (for example, in a layer that is not linear).

    Raises:
        ConfigurationError: statistics are not open, or only some of the tensors have them.
    """
    found: list[tuple[Need, str]] = []
    without: list[tuple[Need, str]] = []
    for reference, name in tensors:
        need = needs[reference]
        if need.key not in sources:
            raise ConfigurationError(
                f"the statistics {need.key!r} are not open; `include_statistics(sources, all_needs(recipe))` gathers "
                "and opens them"
            )
        (found if name in sources[need.key].tensors else without).append((need, name))
    if found and without:
        (need, name), (other, _) = without[0], found[0]
        raise ConfigurationError(
            f"{need.file} has no statistics of {name}, but {other.file} has; gather them the same way for all models: "
            f"heterosis statistics {need.model} TEXTS --kind {need.kind} --out FILE.safetensors"
        )
    return [(need.key, name) for need, name in found]


def need_of(kind: str, model: str, label: str, given: Given, method: str) -> Need:
    """What `given` says for the model that it calls `label`. Raises ConfigurationError if it says nothing."""
    file = given.get(label) if isinstance(given, Mapping) else given
    if file is None:
        raise ConfigurationError(
            f"{method} needs `statistics` of {label}: give a file of texts like those it was trained for, "
            f"`statistics: {{{label}: texts.jsonl}}`, or what `heterosis statistics {model} texts.jsonl --kind {kind} "
            "--out FILE.safetensors` wrote"
        )
    return Need(kind, model, file)


def parse_statistics(content: Any, where: str) -> Given:
    """Reads a path, or a mapping from a model to one. Raises ConfigurationError if it is something else."""
    if content is None or (isinstance(content, str) and content):
        return content
    if (
        isinstance(content, Mapping)
        and content
        and all(isinstance(text, str) for pair in content.items() for text in pair)
    ):
        return dict(content)
    raise ConfigurationError(
        f"{where}: `statistics` must be a file of texts, or a mapping from each model to one, not {content!r}"
    )
