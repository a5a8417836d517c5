"""Exporter `safetensors`: a Hugging Face folder for transformers, vLLM and everything that reads one."""

from __future__ import annotations

from pathlib import Path

from ...core.contracts import Exporter
from ...core.executors import write_model
from ...core.plan import Plan


class SafetensorsExporter(Exporter):
    """Weights in safetensors, config, tokenizer, recipe and model card."""

    name = "safetensors"

    def write(self, plan: Plan, directory: Path) -> None:
        """Writes the folder; it appears under its name only when it is whole."""
        write_model(plan, directory)
