"""Exporter `mergekit`: no weights, but a configuration from which mergekit builds the same model."""

from __future__ import annotations

from pathlib import Path

from ...core.contracts import Exporter
from ...core.errors import ConfigurationError, StorageError
from ...core.mergekit_yaml import mergekit_yaml
from ...core.plan import Plan
from ...core.whole_file import whole_file

FILE = "mergekit.yaml"


class MergekitExporter(Exporter):
    """A folder with `mergekit.yaml`."""

    name = "mergekit"

    def write(self, plan: Plan, directory: Path) -> None:
        """Writes the file. Raises ConfigurationError also if mergekit cannot express the recipe."""
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise ConfigurationError(f"{directory} exists already; choose another folder or remove it")
        text = mergekit_yaml(plan)
        try:
            with whole_file(directory / FILE) as partial:
                partial.write_text(text, encoding="utf-8")
        except OSError as error:
            raise StorageError(f"writing {directory / FILE} failed: {error.strerror}") from error
