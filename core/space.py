"""A search space: base, sources and what varies; a genome in it decodes to a recipe."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from .checkpoints import SourceSet, check_compatible
from .checkpoints.base import promoted
from .checkpoints.open import cache_folder, quiet
from .checkpoints.references import pinned, pinned_as
from .checkpoints.statistics import include_statistics
from .contracts.provider import Progress
from .errors import ConfigurationError
from .gene_space import GeneSpace
from .genome import Genome
from .layout import layer_count
from .level_genes import LevelGenes
from .merge_space import Merge
from .parsing import check_keys, mapping_of
from .plan import plan
from .quantization.quantization import Quantization
from .quantization.rotation import HADAMARD
from .quantize_space import QUANTIZE_KEYS, Quantize
from .recipe import Recipe, RecipeModel
from .settings import Rule

_REQUIRED = ("base", "sources", "merge")


class Space:
    """Base, sources and the merges that are searched.

    Args:
        base: reference of the common ancestor.
        sources: references of the fine-tunes; a mapping gives them labels, a list takes each path's last part.
        merge: which merges are searched.
        relative_to: folder that relative paths start at (default: the current one).
        quantize: which quantisations of the merged weights are searched with them; None: they stay as they are.

    Raises:
        ConfigurationError: no source, two of one label, or a method that cannot merge so many.
    """

    def __init__(
        self,
        base: str,
        sources: Sequence[str] | Mapping[str, str],
        merge: Merge,
        relative_to: Path | None = None,
        quantize: Quantize | None = None,
    ) -> None:
        self.base = base
        self.labelled = dict(sources) if isinstance(sources, Mapping) else _labelled(sources)
        if not self.labelled:
            raise ConfigurationError("`sources` names no fine-tune to merge")
        self.merge = merge
        self.merge.check_sources(len(self.labelled))
        self.quantize = quantize
        self.needs = self.merge.needed_statistics(self.labelled)
        if quantize is not None:
            # first: a model that cannot be rotated is refused before anything is gathered
            self.needs = [*quantize.needed_statistics(self.labelled), *self.needs]
        self.relative_to = relative_to
        self.progress: Progress = quiet

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], relative_to: Path | None = None) -> Space:
        """The space that a study file's `space` describes.

        Raises:
            ConfigurationError: a key is missing or unknown (with the nearest valid one), or a value is of a wrong kind.
        """
        check_keys(content, (*_REQUIRED, "quantize"), "space")
        for key in _REQUIRED:
            if not content.get(key):
                raise ConfigurationError(f"space: `{key}` is missing")
        base, sources, merge = (content[key] for key in _REQUIRED)
        alternatives = base if isinstance(base, list) else [base]
        if not _are_texts(alternatives):
            raise ConfigurationError(f"space: `base` must be a reference, or a list of alternatives, not {base!r}")
        if not isinstance(merge, dict) or "method" not in merge or not _are_texts(merge):
            raise ConfigurationError("space: `merge` must be a mapping with at least `method`")
        if not isinstance(sources, list | dict) or not _are_texts(
            [*sources, *(sources.values() if isinstance(sources, dict) else ())]
        ):
            raise ConfigurationError("space: `sources` must be a list of references, or a mapping from label to one")
        quantize = content.get("quantize")
        if quantize is not None:
            check_keys(mapping_of(quantize, "space, quantize"), QUANTIZE_KEYS, "space, quantize")
        levels = None if quantize is None else Quantize(**quantize)
        return cls(" | ".join(alternatives), sources, Merge(**merge), relative_to, levels)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready content that `from_dict` reads back."""
        content = {"base": self.base, "sources": dict(self.labelled), "merge": self.merge.to_dict()}
        return content if self.quantize is None else {**content, "quantize": self.quantize.to_dict()}

    def pinned(self) -> Space:
        """The same space with references to the hub pinned to what was fetched last; itself if there is none to pin.

        What was never fetched stays as it is: nothing is asked of the network.
        """
        return self._renamed(lambda reference: pinned(reference, self.relative_to, cache_folder()))

    def pinned_as(self, recorded: Mapping[str, Any]) -> Space:
        """The same space with its references as `recorded` (see `to_dict`) has them, where those are these, pinned."""
        others = [recorded["base"], *recorded["sources"].values()]
        names = [self.base, *self.labelled.values()]
        if len(others) != len(names):
            return self
        found = {name: pinned_as(name, other, self.relative_to) for name, other in zip(names, others, strict=True)}
        return self._renamed(lambda reference: found[reference])

    def _renamed(self, name: Callable[[str], str]) -> Space:
        base, labelled = name(self.base), {label: name(reference) for label, reference in self.labelled.items()}
        if (base, labelled) == (self.base, self.labelled):
            return self
        renamed = Space(base, labelled, self.merge, self.relative_to, self.quantize)
        renamed.progress = self.progress
        return renamed

    @cached_property
    def checkpoints(self) -> SourceSet:
        """The open checkpoints, fetched if need be and checked against each other, and the statistics of the sources.

        No weight is read but to gather statistics that a method needs and that are not in the cache.

        Raises:
            CheckpointError: one cannot be had, is damaged, or does not fit the base.
            ConfigurationError: statistics cannot be gathered, or are of something else.
        """
        include_statistics(self._opened, self.needs, self.relative_to, self.progress)
        return self._opened

    @cached_property
    def _opened(self) -> SourceSet:
        opened = SourceSet(self.base, self.labelled.values(), self.relative_to, self.progress)
        check_compatible(opened[self.base], [opened[reference] for reference in self.labelled.values()])
        return opened

    @cached_property
    def genes(self) -> GeneSpace:
        """The genes, in a fixed order."""
        merge = self.merge.genes(list(self.labelled), self._layers)
        if self.levels is None:
            return GeneSpace(merge)
        return GeneSpace([*merge, *self.levels.genes], self.levels.costs)

    @cached_property
    def levels(self) -> LevelGenes | None:
        """The level genes; None if quantisation is not searched.

        Raises:
            ConfigurationError: no legal model keeps the budget, a level is legal nowhere, or the target cannot hold
                such models.
        """
        if self.quantize is None:
            return None
        # every rotation gives tensors of the same shapes, and of a learned one nothing is known yet
        plain = None if self.quantize.rotation is None else Quantization({}, rotation=HADAMARD)
        return self.quantize.genes(plan(replace(self._passthrough(self.base), quantize=plain), self._opened))

    def decode(self, genome: Genome, seed: int = 0) -> Recipe:
        """The recipe that a genome of this space stands for.

        Args:
            seed: in [0, 2^32), for random methods.

        Raises:
            ConfigurationError: the genome does not belong to this space.
        """
        self.genes.check(genome)
        recipe = self.merge.recipe(genome, self.base, self.labelled, self._layers, self.out_dtype, seed)
        if self.levels is None:
            return recipe
        return replace(recipe, quantize=self.levels.quantization(genome, self.labelled))

    def references(self) -> dict[str, Recipe]:
        """What a merge must beat, by label: the base, each source alone, and their uniform average."""
        alone = {"base": self.base, **self.labelled}
        recipes = {label: self._passthrough(reference) for label, reference in alone.items()}
        if len(self.labelled) > 1:
            recipes["uniform average"] = Recipe(
                merge_method="linear",
                models=tuple(RecipeModel(reference) for reference in self.labelled.values()),
                parameters={"weight": (Rule(1.0),)},
                dtype="float32",
                out_dtype=self.out_dtype,
            )
        return recipes

    @cached_property
    def out_dtype(self) -> str:
        """The dtype that models are built in: the one most of the base's weights are stored in."""
        by_dtype: dict[torch.dtype, int] = {}
        for info in self._opened[self.base].tensors.values():
            if info.dtype.is_floating_point:
                by_dtype[info.dtype] = by_dtype.get(info.dtype, 0) + info.elements
        most = max(by_dtype, key=lambda dtype: by_dtype[dtype])
        return str(promoted([most])).removeprefix("torch.")

    @cached_property
    def _layers(self) -> int:
        return layer_count(self._opened[self.base].tensors)

    def _passthrough(self, reference: str) -> Recipe:
        return Recipe("passthrough", (RecipeModel(reference),), dtype="float32", out_dtype=self.out_dtype)


def _are_texts(values: Iterable[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _labelled(references: Sequence[str]) -> dict[str, str]:
    labelled: dict[str, str] = {}
    for reference in references:
        label = os.path.basename(reference.split("@")[0].rstrip("/"))
        if label in labelled:
            raise ConfigurationError(f"two sources would be called {label!r}; give `sources` as a mapping from label")
        labelled[label] = reference
    return labelled
