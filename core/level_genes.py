"""The level genes of one architecture: what is legal for each group of weights, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .checkpoints.base import TensorInfo
from .errors import ConfigurationError, did_you_mean
from .genes import CategoryGene
from .genome import Genome
from .quantization.budget import LevelCosts
from .quantization.groups import HEAD, Group, groups_of
from .quantization.level import UNQUANTIZED, Level
from .quantization.quantization import Quantization
from .quantization.target import stored_bytes

if TYPE_CHECKING:
    from .plan import Plan
    from .quantize_space import Quantize


class LevelGenes:
    """The level genes of one architecture.

    Attributes:
        layers: how many the model has.
        members: by gene, the groups that it decides about.
        costs: what levels cost, in the budget's unit (bytes of the export if there is no budget).
    """

    def __init__(self, quantize: Quantize, plan: Plan) -> None:
        self._quantize = quantize
        self._plan = plan
        self._infos = {tensor.name: tensor.info for tensor in plan.tensors}
        self._groups = groups_of(self._infos)
        self._group = {name: group for group, names in self._groups.items() for name in names}
        self.layers = max((group.layer for group in self._groups if group.layer is not None), default=-1) + 1
        quantize.legal.check_source(plan.config)
        self._check_fixed()
        self.members = self._members()
        self._choices = {gene: self._legal(gene) for gene in self.members}
        self._check_used()
        self.costs = self._costs()
        self._check_budget()

    @cached_property
    def genes(self) -> list[CategoryGene]:
        """A gene for each region and kind, its choices from the smallest to the largest."""
        return [CategoryGene(gene, tuple(levels)) for gene, levels in self.costs.costs.items()]

    @property
    def labels(self) -> tuple[str, ...]:
        """Every level that is searched, each legal somewhere."""
        return self._quantize.labels

    @property
    def gene_of(self) -> dict[str, str]:
        """The gene that decides about each tensor, for those that one decides about."""
        return {name: gene for gene, groups in self.members.items() for group in groups for name in self._groups[group]}

    @property
    def unit(self) -> str:
        """What costs are counted in: `bits` of the weights that are searched, or `bytes` of all."""
        budget = self._quantize.budget
        return "bits" if budget is not None and budget.unit == "bits" else "bytes"

    def bits(self, total: int) -> float:
        """Bits for each weight that is searched, of a genome that costs `total`."""
        each = 1 if self.unit == "bits" else 8
        return each * (total - self.costs.fixed) / sum(self.costs.weights.values())

    def quantization(self, genome: Mapping[str, Any], sources: Mapping[str, str]) -> Quantization:
        """What the genome's levels come to, as a recipe has it.

        Args:
            sources: reference of each source, by label.
        """
        levels: dict[str, list[str]] = {}
        for group in self._groups:
            if group.layer is not None:
                levels.setdefault(group.kind, [UNQUANTIZED] * self.layers)
        found: dict[str, tuple[str, ...]] = {}
        for gene, groups in self.members.items():
            for group in groups:
                assert group.layer is not None
                levels[group.kind][group.layer] = str(genome[gene])
        for kind, labels in levels.items():
            found[kind] = (labels[0],) if len(set(labels)) == 1 else tuple(labels)
        found |= {kind: (label,) for kind, label in self._quantize.fixed.items()}
        given = self._quantize.calibration
        if isinstance(given, Mapping):
            given = {sources[label]: file for label, file in given.items()}
        return Quantization(found, self._quantize.target, given, self._quantize.options, self._quantize.rotation)

    def uniform(self, label: str) -> Genome | None:
        """The genome that has this level wherever it is legal, and elsewhere the legal one that is nearest in size and
        not larger (or the smallest); None if it is legal nowhere."""
        if not any(label in levels for levels in self._choices.values()):
            return None
        wanted = Level.parse(label)
        values = {}
        for gene, levels in self._choices.items():
            if label in levels:
                values[gene] = label
                continue
            name = self._groups[self.members[gene][0]][0]
            size = stored_bytes(self._infos[name], wanted)
            smaller = [one for one in levels if stored_bytes(self._infos[name], Level.parse(one)) <= size]
            values[gene] = smaller[-1] if smaller else levels[0]
        return Genome(values)

    def _members(self) -> dict[str, list[Group]]:
        found: dict[str, list[Group]] = {}
        for group in self._groups:
            if group.layer is None or group.kind in self._quantize.fixed:
                continue
            alike = group.kind in self._quantize.legal.alike
            span = None if alike else self._quantize.span
            region = ""
            if span is not None:
                low = group.layer // span * span
                high = min(low + span, self.layers) - 1
                region = f"layer {low}" if low == high else f"layers {low}-{high}"
            parts = ["level", *([group.kind] if self._quantize.by_kind or alike else []), *([region] if region else [])]
            found.setdefault("/".join(parts), []).append(group)
        if not found:
            raise ConfigurationError(
                "quantize: there are no weights in linear layers whose level could be searched; is every kind `fixed`?"
            )
        return found

    def _legal(self, gene: str) -> list[str]:
        refusals = {label: self._refusal(gene, label) for label in self._quantize.labels}
        legal = [label for label, refusal in refusals.items() if refusal is None]
        if not legal:
            reasons = "; ".join(f"{label}: {refusal}" for label, refusal in refusals.items())
            raise ConfigurationError(
                f"quantize: no level is legal for {gene.removeprefix('level/')} in the target "
                f"{self._quantize.target!r} ({reasons}); add levels that are"
            )
        return sorted(legal, key=lambda label: self._cost(gene, label))

    def _refusal(self, gene: str, label: str) -> str | None:
        level = Level.parse(label)
        for group in self.members[gene]:
            for name in self._groups[group]:
                refusal = self._quantize.legal.refuses(level, group, self._infos[name])
                if refusal is not None:
                    return f"{name}: {refusal}"
        return None

    def _check_used(self) -> None:
        for label in self._quantize.labels:
            if not any(label in levels for levels in self._choices.values()):
                reason = self._refusal(next(iter(self.members)), label)
                raise ConfigurationError(
                    f"quantize: the level {label!r} is legal nowhere in the target {self._quantize.target!r} "
                    f"({reason}); leave it out"
                )

    def _check_fixed(self) -> None:
        kinds = {group.kind for group in self._groups}
        for kind, label in self._quantize.fixed.items():
            if kind == HEAD and kind not in kinds:
                raise ConfigurationError(
                    "quantize, fixed: the output layer is not one of its own, but shares the weights of `embedding`; "
                    "fix the level of that (the target must hold it: gguf does), or leave both as they are"
                )
            if kind not in kinds:
                raise ConfigurationError(f"quantize, fixed: no weights are {kind!r}. {did_you_mean(kind, kinds)}")
            for group, names in self._groups.items():
                for name in names if group.kind == kind else []:
                    refusal = self._quantize.legal.refuses(Level.parse(label), group, self._infos[name])
                    if refusal is not None:
                        raise ConfigurationError(f"quantize, fixed: {kind} cannot be {label!r}: {name}: {refusal}")

    def _cost(self, gene: str, label: str) -> int:
        level = Level.parse(label)
        infos = [(name, self._infos[name]) for group in self.members[gene] for name in self._groups[group]]
        budget = self._quantize.budget
        if budget is not None and budget.unit == "bits":
            return sum(8 * stored_bytes(info, level) for _, info in infos)
        return sum(self._quantize.legal.most_bytes(name, info, level) for name, info in infos)

    def _costs(self) -> LevelCosts:
        budget = self._quantize.budget
        costs = {gene: {label: self._cost(gene, label) for label in levels} for gene, levels in self._choices.items()}
        weights = {gene: sum(self._weights(group) for group in groups) for gene, groups in self.members.items()}
        if budget is not None and budget.unit == "bits":
            return LevelCosts(0, costs, weights, int(budget.limit * sum(weights.values())))
        fixed = self._quantize.legal.fixed_bytes(self._plan)
        for name, info in self._infos.items():
            fixed += self._fixed_cost(name, info)
        if budget is not None and budget.unit == "memory":
            fixed += cache_bytes(self._plan.config, budget.context)
        return LevelCosts(fixed, costs, weights, None if budget is None else int(budget.limit))

    def _fixed_cost(self, name: str, info: TensorInfo) -> int:
        group = self._group.get(name)
        if group is not None and group.layer is not None and group.kind not in self._quantize.fixed:
            return 0
        label = self._quantize.fixed.get(group.kind) if group is not None else None
        return self._quantize.legal.most_bytes(name, info, Level.parse(label) if label else None)

    def _weights(self, group: Group) -> int:
        return sum(self._infos[name].elements for name in self._groups[group])

    def _check_budget(self) -> None:
        budget, limit = self._quantize.budget, self.costs.limit
        if budget is None or limit is None or self.costs.least <= limit:
            return
        least: float = self.costs.least
        if budget.unit == "bits":
            least = -(-least * 1000 // sum(self.costs.weights.values())) / 1000
        unit = "bits per weight" if budget.unit == "bits" else "bytes"
        raise ConfigurationError(
            f"quantize: the budget of {budget.limit:g} {unit} is below "
            f"the smallest legal model, which takes {least:g}; raise it, or add smaller levels"
            + ("" if self._quantize.fixed or budget.unit == "bits" else " (`fixed: {embedding: LEVEL}` takes less)")
        )


def cache_bytes(config: Mapping[str, Any], context: int) -> int:
    """Bytes of the keys and values of `context` tokens, 2 bytes each, for a model with this config.json."""
    heads = int(config.get("num_attention_heads") or 1)
    shared = int(config.get("num_key_value_heads") or heads)
    width = int(config.get("head_dim") or int(config.get("hidden_size", 0)) // heads)
    return 2 * 2 * int(config.get("num_hidden_layers", 0)) * shared * width * context
