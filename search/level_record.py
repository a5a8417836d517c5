"""What a search of bit-widths starts from, made once and recorded with the study: costs of levels, labelled starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..core.genome import Genome
from ..core.quantization.budget import LevelCosts
from ..core.seeds import derived_seed
from ..core.space import Space
from ..core.study_spec import StudySpec
from ..storage import Store
from .starts import Start, starts


@dataclass(frozen=True)
class LevelRecord:
    """What a search of bit-widths starts from.

    Attributes:
        unit: of the costs, `bits` or `bytes`.
        starts: none if the study leaves them out.
        errors: by gene and level, what it is estimated to do; None if nothing was estimated.
    """

    costs: LevelCosts
    unit: str
    starts: tuple[Start, ...]
    errors: Mapping[str, Mapping[str, float]] | None = None

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> LevelRecord:
        """Reads what `to_dict` wrote."""
        costs = LevelCosts(content["fixed"], content["costs"], content["weights"], content["limit"])
        starts = tuple(Start(one["label"], Genome(one["genome"])) for one in content["starts"])
        return cls(costs, content["unit"], starts, content.get("errors"))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready content that `from_dict` reads back."""
        return {
            "fixed": self.costs.fixed,
            "costs": {gene: dict(levels) for gene, levels in self.costs.costs.items()},
            "weights": dict(self.costs.weights),
            "limit": self.costs.limit,
            "unit": self.unit,
            "starts": [{"label": start.label, "genome": dict(start.genome)} for start in self.starts],
            "errors": self.errors,
        }

    def bits(self, genome: Mapping[str, Any]) -> float:
        """Bits for each weight that is searched, scales and all."""
        each = 1 if self.unit == "bits" else 8
        return each * (self.costs.total(genome) - self.costs.fixed) / sum(self.costs.weights.values())


def recorded_levels(study_id: str, store: Store) -> LevelRecord | None:
    """What is recorded; None for studies that search no levels, or have not begun."""
    content = store.studies.levels(study_id)
    return None if content is None else LevelRecord.from_dict(content)


def record_levels(
    spec: StudySpec, study_id: str, store: Store, texts: Iterable[str], device: torch.device | str
) -> None:
    """Records them before the first proposal; what is recorded stays, so that a search goes on as it began.

    Args:
        texts: that sensitivities are estimated on; of no texts, none are.

    Raises:
        ConfigurationError, CheckpointError, MaterialiseError: see `sensitivities`.
    """
    levels = spec.space.levels
    if levels is None or store.studies.levels(study_id) is not None:
        return
    begun = bool(store.asks.all(study_id))  # by a version that knew no starts: replayed, it must propose the same
    made, errors = ([], None) if begun or not spec.starts else _made(spec, list(texts), device)
    store.studies.record_levels(study_id, LevelRecord(levels.costs, levels.unit, tuple(made), errors).to_dict())


def _made(
    spec: StudySpec, texts: list[str], device: torch.device | str
) -> tuple[list[Start], Mapping[str, Mapping[str, float]] | None]:
    space = spec.space
    assert space.levels is not None
    low, high = space.genes.bounds()
    middle = space.genes.decode(low / 2 + high / 2)
    errors = None
    if texts:
        from ..fitness.sensitivity import sensitivities

        errors = sensitivities(space, middle, texts, device, space.progress, derived_seed(spec.seed, "merge"))
    merge = {gene: value for gene, value in middle.items() if gene not in space.levels.costs.costs}
    return starts(space.levels, merge, errors), errors


def sensitivity_texts(space: Space, items: Iterable[Mapping[str, Any]]) -> list[str]:
    """The calibration's texts if there are some, else those of the search items that have one.

    Args:
        items: data of the search items.

    Raises:
        ConfigurationError: a file of texts cannot be read.
    """
    from ..fitness.calibration import joined, read_texts

    given = space.quantize.calibration if space.quantize is not None else None
    files = [] if given is None else [given] if isinstance(given, str) else list(dict.fromkeys(given.values()))
    texts = [
        read_texts((space.relative_to or Path()) / Path(file).expanduser())
        for file in files
        if not file.endswith(".safetensors")  # statistics, whose texts are not here
    ]
    if texts:
        length = max(map(len, texts))
        return [of_file[place] for place in range(length) for of_file in texts if place < len(of_file)]
    return [text for data in items if (text := joined(data))]
