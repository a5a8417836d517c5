"""mergekit's ways to build a candidate: its command line, and in-process in memory as mergekit-evolve does."""

from __future__ import annotations

import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml


def by_command_line(configuration: Mapping[str, Any]) -> float:
    """Seconds that `mergekit-yaml` takes from a configuration to a model on disk."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "merge.yaml"
        file.write_text(yaml.safe_dump(dict(configuration)))
        command = [
            Path(sys.executable).with_name("mergekit-yaml"),
            file,
            Path(folder) / "merged",
            "--no-write-model-card",
        ]
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        return time.perf_counter() - started


class InProcess:
    """mergekit's planner and executor without the disk: tensors are copied into a resident model.

    What mergekit-evolve does once (architecture, config) is done once here too and not timed.

    Args:
        targets: the resident model's tensors by name.
        configuration: any of those that will be run.
    """

    def __init__(self, targets: Mapping[str, torch.Tensor], configuration: Mapping[str, Any]) -> None:
        from mergekit.architecture import get_architecture_info
        from mergekit.config import MergeConfiguration
        from mergekit.options import MergeOptions

        logging.getLogger("mergekit").setLevel(logging.ERROR)
        self._targets = targets
        self._options = MergeOptions(quiet=True)
        parsed = MergeConfiguration.model_validate(dict(configuration))
        self._architecture = get_architecture_info(parsed, self._options)
        self._config = parsed.referenced_models()[0].config()

    @torch.no_grad()
    def seconds(self, configuration: Mapping[str, Any]) -> float:
        """Seconds from a configuration to the resident model."""
        from mergekit.config import MergeConfiguration
        from mergekit.graph import Executor
        from mergekit.plan import MergePlanner

        started = time.perf_counter()
        parsed = MergeConfiguration.model_validate(dict(configuration))
        planner = MergePlanner(parsed, self._architecture, self._options, self._config)
        planner._plan()  # its public `plan_in_memory` does not get past pydantic in 0.1.5
        tensors = {task: weight.name for weight, task in planner._tensors}
        executor = Executor(list(tensors), math_device="cpu", storage_device="cpu")
        written = set()
        for task, value in executor.run(quiet=True):
            name = tensors.get(task)
            if name in self._targets:
                self._targets[name].copy_(value)
                written.add(name)
        elapsed = time.perf_counter() - started
        if missed := sorted(self._targets.keys() - written):
            raise SystemExit(f"mergekit left {missed[0]} unwritten, so this is not the same work")
        return elapsed
