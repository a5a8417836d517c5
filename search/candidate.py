"""A candidate as a user of the Python API meets it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..core import registry
from ..core.checkpoints.base import file_sha256
from ..core.contracts import Exporter
from ..core.estimate import Estimate
from ..core.genome import Genome
from ..core.plan import Plan, plan
from ..core.quantization.projection import Replacement, exporter_for, plan_for
from ..core.recipe import Recipe
from ..core.space import Space
from ..core.stage import Stage
from ..fitness.engine_figures import EngineFigures, weight_files
from ..fitness.verification import write_export
from ..storage import CandidateRecord, Lineage, Store


class Candidate:
    """A candidate of a study: how it is built, what was measured of it, where it comes from."""

    def __init__(self, record: CandidateRecord, space: Space, store: Store) -> None:
        self.record = record
        self._space = space
        self._store = store

    @property
    def name(self) -> str:
        """`candidate 7`, or a reference's label."""
        return name_of(self.record)

    @property
    def genome(self) -> Genome | None:
        """Its genes; None for a reference."""
        return self.record.genome

    @property
    def recipe(self) -> Recipe:
        """How it is built."""
        return Recipe.from_dict(self.record.recipe)

    @property
    def measurements(self) -> Mapping[Stage, Mapping[str, Estimate]]:
        """By stage, then by task or objective."""
        return self.record.measurements

    @property
    def lineage(self) -> Lineage:
        """Its parents and children."""
        return self._store.candidates.lineage(self.record.id)

    def plan(self) -> Plan:
        """Its build plan."""
        return plan(self.recipe, self._space.checkpoints)

    def export(
        self,
        directory: str | Path,
        format: str | None = None,  # noqa: A002  (the field's word)
        verify: bool = True,
    ) -> Path:
        """Writes the model, and notes in the database what was written and measured.

        Levels that the format cannot hold are replaced by the nearest ones that it can: see `export_plan`. What was
        measured in this format when it was evaluated is not measured again.

        Args:
            directory: a folder that does not exist yet, or is empty.
            format: name of an exporter plugin (default: the target that its levels were searched for, or safetensors).
            verify: whether a quantised model is reloaded, compared with the candidate as it was simulated, and
                measured, before it gets its name.

        Raises:
            PluginError: there is no such exporter.
            ConfigurationError: the folder is in use, or the format cannot hold the model.
            StorageError: the disk is full, or refuses; nothing is left.
            EvaluationError: the written model is not the simulated one; nothing is left.
        """
        target = Path(directory)
        format = format or exporter_for(self.recipe)  # noqa: A001
        exporter: Exporter = registry.load("exporters", format)()
        ran = self.engine if (self.engine or {}).get("format") == format else None
        known = None if ran is None else EngineFigures.from_dict(ran)
        figures = write_export(exporter, self.export_plan(format)[0], target, verify, known)
        for path in weight_files(target):
            self._store.artifacts.record(self.record.id, "weights", path, file_sha256(path), path.stat().st_size)
        if figures is not None:
            content = {"format": format, "path": str(target.resolve()), **figures.to_dict()}
            self._store.artifacts.note_export(self.record.id, content)
        return target

    def export_plan(self, format: str) -> tuple[Plan, tuple[Replacement, ...]]:  # noqa: A002
        """Its plan as this exporter can write it, and the levels that were replaced for it.

        Raises:
            PluginError: there is no such exporter.
            ConfigurationError: it cannot hold the model.
        """
        return plan_for(self.recipe, self._space.checkpoints, format)

    @property
    def exports(self) -> list[Mapping[str, Any]]:
        """What was measured of its exported models: `format`, `path`, `bytes`, `prefill_ms`, `decode_speed`..."""
        return self._store.artifacts.exports(self.record.id)

    @property
    def engine(self) -> Mapping[str, Any] | None:
        """What was measured in its engine when it was last evaluated, where an objective asks for that; as `exports`,
        without a path."""
        return self._store.artifacts.engine(self.record.id)

    def __repr__(self) -> str:
        return f"<{self.name}: {self.record.state}>"


def name_of(record: CandidateRecord) -> str:
    """`candidate 7`, or a reference's label."""
    return record.label if record.label is not None else f"candidate {record.number}"
