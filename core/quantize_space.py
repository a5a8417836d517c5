"""The bit-width half of a search space: which levels each group of weights may have, for which target and budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .errors import ConfigurationError, did_you_mean
from .level_genes import LevelGenes
from .merge_space import layers_per_gene
from .parsing import mapping_of, texts_of
from .quantization.budget import Budget
from .quantization.level import UNQUANTIZED, Level
from .quantization.quantization import Options, read_options
from .quantization.rotation import KURTAIL, check_kind
from .quantization.target import NO_TARGET, target_of
from .statistics import CALIBRATION, Given, Need, learning, need_of, parse_statistics

if TYPE_CHECKING:
    from .plan import Plan

DEFAULT_BITS = (2, 3, 4, 8)
DEFAULT_GROUP = 128


QUANTIZE_KEYS = (
    "quantizers",
    "bits",
    "group_size",
    "formats",
    "levels",
    "target",
    "groups",
    "by_kind",
    "fixed",
    "budget",
    "calibration",
    "options",
    "rotation",
)


class Quantize:
    """Which quantisations are searched.

    Args:
        quantizers: one quantiser, or several.
        bits: widths of integer formats (default: 2, 3, 4 and 8, if neither `formats` nor `levels` are given).
        group_size: weights in a row that share a scale, for `bits`.
        formats: labels of formats. Every quantiser goes with every width and format that it can do.
        levels: labels of more levels, such as `gptq:int3-g64`, or `none` for weights as they were merged.
        target: what models are exported to (an exporter such as `gguf`, or `none`): it says what is legal.
        groups: `layers:k`, a gene for every k layers (default: for each layer); `model`, one for the whole depth.
        by_kind: whether kinds of weights (qkv, o_proj, gate_up, down_proj...) have genes of their own.
        fixed: levels of kinds that are not searched, such as `{embedding: q8_0}`. Embeddings and output stay as they
            are unless they are named here.
        budget: that no candidate exceeds: bits per weight (3.5), a size of the exported file (`60MB`), or
            `{memory: 1.5GiB, context: 4096}`.
        calibration: texts on which layers' inputs are looked at: a file, or a file for each source by its label.
        options: of quantisers, by their names; those left out are as they advise.
        rotation: that every candidate's hidden features are turned by before weights are quantised: `hadamard`;
            `kurtail`, learned from the first source on its calibration; or None.

    Raises:
        ConfigurationError: a level, budget or option cannot be used, or the target cannot hold the levels together.
        PluginError: a quantiser or the target is not installed.
    """

    def __init__(
        self,
        quantizers: str | Sequence[str] = "rtn",
        bits: Sequence[int] | None = None,
        group_size: int = DEFAULT_GROUP,
        formats: Sequence[str] = (),
        levels: Sequence[str] = (),
        target: str = NO_TARGET,
        groups: str = "layers:1",
        by_kind: bool = True,
        fixed: Mapping[str, str] | None = None,
        budget: float | str | Mapping[str, Any] | None = None,
        calibration: Given = None,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        rotation: str | None = None,
    ) -> None:
        names = texts_of(quantizers if isinstance(quantizers, str) else list(quantizers), "quantize, quantizers")
        self.labels = _labels(names, bits, group_size, formats, levels)
        self.target = target
        self.legal = target_of(target)
        self.groups = groups
        self.span = layers_per_gene(groups, "quantize, ")
        if not isinstance(by_kind, bool):
            raise ConfigurationError(f"quantize: `by_kind` must be true or false, not {by_kind!r}")
        self.by_kind = by_kind
        self.fixed = {kind: str(label) for kind, label in mapping_of(fixed or {}, "quantize, fixed").items()}
        self.legal.check_modes(map(Level.parse, (*self.labels, *self.fixed.values())))
        self.budget = None if budget is None else Budget.parse(budget, "quantize")
        self.calibration = parse_statistics(calibration, "quantize, calibration")
        self.options = _advised((*self.labels, *self.fixed.values()), read_options(options or {}, "quantize"))
        self.rotation = None if rotation is None else check_kind(rotation, self.calibration, "quantize")

    def genes(self, plan: Plan) -> LevelGenes:
        """The genes for models like the planned one, which is not quantised.

        Raises:
            ConfigurationError: the target cannot hold it; a group of weights has no legal level, or a level is legal
                nowhere; no legal model keeps the budget.
        """
        return LevelGenes(self, plan)

    def needed_statistics(self, sources: Mapping[str, str]) -> list[Need]:
        """The calibration of each source, given as references by label, and before it what a rotation is learned from;
        nothing if there is none.

        Raises:
            ConfigurationError: it is given for some of the sources only, or for what is no source.
        """
        if self.calibration is None:
            return []
        if isinstance(self.calibration, Mapping):
            for label in self.calibration:
                if label not in sources:
                    raise ConfigurationError(
                        f"quantize, calibration: unknown source {label!r}. {did_you_mean(label, sources)}"
                    )
        found = [
            need_of(CALIBRATION, reference, label, self.calibration, "quantize") for label, reference in sources.items()
        ]
        return [learning(found), *found] if self.rotation == KURTAIL else found

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready arguments that make an equal object."""
        content: dict[str, Any] = {"levels": list(self.labels), "target": self.target, "groups": self.groups}
        optional = {
            "fixed": self.fixed,
            "budget": self.budget.to_dict() if self.budget else None,
            "calibration": self.calibration,
            "options": {name: dict(values) for name, values in self.options.items()},
            "rotation": self.rotation,
        }
        by_kind = {} if self.by_kind else {"by_kind": False}
        return {**content, **by_kind, **{key: value for key, value in optional.items() if value}}


def _advised(labels: Sequence[str], given: Options) -> Options:
    """The options given, and what a quantiser advises for all of its formats: recipes name both, so that they keep
    their meaning when advice changes."""
    advice: dict[str, list[Mapping[str, Any]]] = {}
    for level in map(Level.parse, labels):
        if level is not None:
            advice.setdefault(level.quantizer, []).append(level.plugin.advice(level.format))
    found = dict(given)
    for name, (first, *others) in advice.items():
        if first and all(first == other for other in others):
            found[name] = {**first, **given.get(name, {})}
    return found


def _labels(
    quantizers: Sequence[str],
    bits: Sequence[int] | None,
    group_size: int,
    formats: Sequence[str],
    levels: Sequence[str],
) -> tuple[str, ...]:
    widths = bits if bits is not None else () if formats or levels else DEFAULT_BITS
    named = [f"int{width}-g{group_size}" for width in widths]
    named += texts_of(formats if isinstance(formats, str) else list(formats), "quantize, formats")
    found: dict[str, None] = {}
    for quantizer in quantizers:
        for name in named:
            level = Level.parse(f"{quantizer}:{name}")
            assert level is not None
            found[level.label] = None
    for label in texts_of(levels if isinstance(levels, str) else list(levels), "quantize, levels"):
        parsed = Level.parse(label)
        found[parsed.label if parsed else UNQUANTIZED] = None
    return tuple(found)
