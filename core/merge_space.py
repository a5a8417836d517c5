"""The merge half of a search space: which methods and parameters vary, for which layers, modules and sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from . import registry
from .contracts.merge_method import MergeMethod, ParameterSpec
from .errors import ConfigurationError, did_you_mean
from .genes import CategoryGene, Condition, FloatGene, Gene, GeneValue
from .genome import Genome
from .recipe import Recipe, RecipeModel
from .settings import Rule, Scalar, Setting, parse_scalar
from .statistics import Given, Need, need_of, parse_statistics

Range: TypeAlias = tuple[float, float]
METHOD_GENE = "method"


@dataclass(frozen=True)
class Region:
    """The tensors that share a gene: some layers, a kind of module, both, or (neither) all that is left."""

    layers: tuple[int, int] | None = None
    module: str | None = None

    @property
    def suffix(self) -> str:
        """What the region adds to a gene's name."""
        parts = [f"layers {self.layers[0]}-{self.layers[1] - 1}"] if self.layers else []
        return "/".join(["", *parts, *([self.module] if self.module else [])])


class Merge:
    """Which merges are searched.

    Args:
        method: one method, or several of which a gene chooses.
        groups: `model` for one gene for the whole depth, or `layers:k` for a gene for every k layers.
        by_module: whether attention and MLP have genes of their own (embeddings and norms then share one).
        statistics: for methods that need some: a file of texts to gather them on, or a file for each source by its
            label; a `.safetensors` file that `heterosis statistics` wrote is taken as it is.
        parameters: for each parameter of the methods, a pair (a range to search) or a scalar (a fixed value). Those not
            named are searched over the method's own range if it has one, else left at their default.

    Raises:
        ConfigurationError: no method; a parameter that none of them has, outside its limits or upside down; bad
            `groups`; `statistics` that no method needs.
        PluginError: a method is not installed.
    """

    def __init__(
        self,
        method: str | Sequence[str],
        groups: str = "model",
        by_module: bool = False,
        statistics: Given = None,
        **parameters: Range | Sequence[float] | Scalar,
    ) -> None:
        self.methods = _method_names(method)
        self.groups = groups
        self.group_size = layers_per_gene(groups)
        if not isinstance(by_module, bool):
            raise ConfigurationError(f"`by_module` must be true or false, not {by_module!r}")
        self.by_module = by_module
        self._plugins: dict[str, type[MergeMethod]] = {
            name: registry.load("merge_methods", name) for name in self.methods
        }
        self.statistics = parse_statistics(statistics, "merge")
        if statistics is not None and not any(plugin.needs_statistics for plugin in self._plugins.values()):
            raise ConfigurationError(f"{' / '.join(self.methods)}: no method needs `statistics`; leave them out")
        valid = {spec.name for plugin in self._plugins.values() for spec in plugin.parameters}
        for name in parameters:
            if name not in valid:
                raise ConfigurationError(
                    f"{' / '.join(self.methods)}: no parameter {name!r}. {did_you_mean(name, valid)}"
                )
        self.ranges = {
            name: _range(name, value) for name, value in parameters.items() if isinstance(value, list | tuple)
        }
        self.fixed = {name: parse_scalar(value, name) for name, value in parameters.items() if name not in self.ranges}
        for plugin in self._plugins.values():
            for spec in plugin.parameters:
                _check_limits(plugin.name, spec, self.ranges.get(spec.name), self.fixed.get(spec.name))

    def check_sources(self, count: int) -> None:
        """Raises ConfigurationError if a method cannot merge `count` sources."""
        for plugin in self._plugins.values():
            least, most = plugin.source_count
            pair = plugin.source_count == (1, 1) and plugin.base_required and count == 2
            if not pair and (count < least or (most is not None and count > most)):
                raise ConfigurationError(
                    f"{plugin.name} cannot merge {count} source(s); leave it out or give it "
                    + (f"{least}" if most == least else f"{least} to {most}" if most else f"at least {least}")
                )

    def needed_statistics(self, sources: Mapping[str, str]) -> list[Need]:
        """The statistics that some method needs of the sources, given as references by label.

        Raises:
            ConfigurationError: they are not given of one, or given of what is no source.
        """
        if isinstance(self.statistics, Mapping):
            for label in self.statistics:
                if label not in sources:
                    raise ConfigurationError(f"`statistics`: unknown source {label!r}. {did_you_mean(label, sources)}")
        return [
            need_of(plugin.needs_statistics, reference, label, self.statistics, plugin.name)
            for plugin in self._plugins.values()
            if plugin.needs_statistics is not None
            for label, reference in sources.items()
        ]

    def regions(self, layers: int) -> list[Region]:
        """The regions of a model with `layers` layers; the first that matches a tensor counts."""
        spans: list[tuple[int, int] | None] = [None]
        if self.group_size is not None:
            spans = [(low, min(low + self.group_size, layers)) for low in range(0, layers, self.group_size)]
        if self.by_module:
            return [Region(span, module) for span in spans for module in ("attention", "mlp")] + [Region(None, "other")]
        return [Region(span) for span in spans] + ([Region()] if self.group_size is not None else [])

    def genes(self, labels: Sequence[str], layers: int) -> list[Gene]:
        """The genes for sources called `labels`: the method if there are several, then every searched parameter's."""
        genes: list[Gene] = [CategoryGene(METHOD_GENE, self.methods)] if len(self.methods) > 1 else []
        for spec in self._searched():
            owners = tuple(name for name, plugin in self._plugins.items() if _has(plugin, spec))
            switch = Condition(METHOD_GENE, owners) if len(owners) < len(self.methods) else None
            low, high = self._range_of(spec)
            for label in labels if spec.scope == "source" else [None]:
                for region in self.regions(layers):
                    genes.append(FloatGene(_gene_name(spec, label, region), low, high, switch))
        return genes

    def recipe(
        self, genome: Genome, base: str, sources: Mapping[str, str], layers: int, out_dtype: str, seed: int
    ) -> Recipe:
        """The recipe that a genome stands for.

        Args:
            sources: reference of each source, by label, in order.
        """
        name = str(genome.get(METHOD_GENE, self.methods[0]))
        plugin = self._plugins[name]
        references = list(sources.values())
        if plugin.source_count == (1, 1) and plugin.base_required and len(references) == 2:
            base = references[0]  # a method between two models takes the first source as its end at 0
        per_source = {
            label: {
                spec.name: setting
                for spec in plugin.parameters
                if spec.scope == "source" and (setting := self._setting(spec, label, genome, layers))
            }
            for label in sources
        }
        shared = {
            spec.name: setting
            for spec in plugin.parameters
            if spec.scope == "shared" and (setting := self._setting(spec, None, genome, layers))
        }
        return Recipe(
            merge_method=name,
            base_model=base if plugin.base_required or plugin.base_optional else None,
            models=tuple(RecipeModel(reference, per_source[label]) for label, reference in sources.items()),
            parameters=shared,
            dtype="float32",
            out_dtype=out_dtype,
            seed=seed,
            statistics=self._statistics(sources) if plugin.needs_statistics else None,
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready arguments that make an equal object."""
        return {
            "method": list(self.methods),
            "groups": self.groups,
            "by_module": self.by_module,
            **({} if self.statistics is None else {"statistics": self.statistics}),
            **{name: list(ends) for name, ends in self.ranges.items()},
            **self.fixed,
        }

    def _statistics(self, sources: Mapping[str, str]) -> Given:
        if not isinstance(self.statistics, Mapping):
            return self.statistics
        return {sources[label]: file for label, file in self.statistics.items()}

    def _searched(self) -> list[ParameterSpec]:
        specs: dict[tuple[str, str], ParameterSpec] = {}
        for spec in (spec for plugin in self._plugins.values() for spec in plugin.parameters):
            known = specs.setdefault((spec.name, spec.scope), spec)
            if known.search is None:
                specs[spec.name, spec.scope] = spec
        return [
            spec
            for spec in specs.values()
            if spec.name in self.ranges or (spec.search is not None and spec.name not in self.fixed)
        ]

    def _range_of(self, spec: ParameterSpec) -> Range:
        if spec.name in self.ranges:
            return self.ranges[spec.name]
        found = [
            other.search
            for plugin in self._plugins.values()
            for other in plugin.parameters
            if other.name == spec.name and other.search is not None
        ]
        return min(low for low, _ in found), max(high for _, high in found)

    def _setting(self, spec: ParameterSpec, label: str | None, genome: Genome, layers: int) -> Setting | None:
        if spec.name in self.fixed:
            return (Rule(self.fixed[spec.name]),)
        rules = []
        for region in self.regions(layers):
            value: GeneValue | None = genome.get(_gene_name(spec, label, region))
            if value is not None:
                assert not isinstance(value, str)
                rules.append(Rule(value, region.layers, region.module))
        return tuple(rules) or None


def _gene_name(spec: ParameterSpec, label: str | None, region: Region) -> str:
    return spec.name + (f"/{label}" if label is not None else "") + region.suffix


def _has(plugin: type[MergeMethod], spec: ParameterSpec) -> bool:
    return any(other.name == spec.name and other.scope == spec.scope for other in plugin.parameters)


def _method_names(method: str | Sequence[str]) -> tuple[str, ...]:
    names = (method,) if isinstance(method, str) else tuple(method) if isinstance(method, list | tuple) else (None,)
    if not all(isinstance(name, str) for name in names):
        raise ConfigurationError(f"`method` must be a name or a list of names, not {method!r}")
    if not names:
        raise ConfigurationError("`method` names no merge method")
    for name in names:
        if names.count(name) > 1:
            raise ConfigurationError(f"`method` names {name!r} twice")
    return names


def layers_per_gene(groups: str, where: str = "") -> int | None:
    """The k of `layers:k`; None for `model`. Raises ConfigurationError if it is neither."""
    if groups == "model":
        return None
    kind, _, size = str(groups).partition(":")
    if kind != "layers" or not size.isdecimal() or int(size) < 1:
        raise ConfigurationError(f"{where}`groups` must be `model` or `layers:k` with k >= 1, not {groups!r}")
    return int(size)


def _range(name: str, value: Sequence[float]) -> Range:
    ends = [parse_scalar(end, name) for end in value]
    if len(ends) != 2 or any(isinstance(end, bool) for end in ends):
        raise ConfigurationError(f"{name}: a range is two numbers, [low, high], not {list(value)!r}")
    low, high = float(ends[0]), float(ends[1])
    if low > high:
        raise ConfigurationError(f"{name}: the range [{low}, {high}] is upside down; write [{high}, {low}]")
    return low, high


def _check_limits(method: str, spec: ParameterSpec, ends: Range | None, fixed: Scalar | None) -> None:
    if isinstance(spec.default, bool) and (ends is not None or not isinstance(fixed, bool | None)):
        raise ConfigurationError(f"{method}: {spec.name} is true or false; there is nothing between them")
    for value in [*(ends or ()), *([] if fixed is None else [fixed])]:
        if not spec.low <= value <= spec.high:
            raise ConfigurationError(f"{method}: {spec.name} = {value} is outside [{spec.low}, {spec.high}]")
