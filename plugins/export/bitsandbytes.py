"""Exporter `bitsandbytes`: NF4, FP4 or LLM.int8(), stored as transformers saves models with bitsandbytes' extra."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import torch

from ...core.checkpoints.base import TensorInfo
from ...core.contracts.target import QuantizingExporter
from ...core.embeddings import is_input_embedding
from ...core.errors import ConfigurationError
from ...core.executors import write_model
from ...core.executors.compute import compute_quantized
from ...core.executors.encoding import Encoding
from ...core.executors.operands import Operands
from ...core.executors.shards import file_bytes, most_file_bytes, most_tensor_bytes
from ...core.plan import Plan, TensorPlan
from ...core.quantization.groups import EMBEDDING, EXPERTS, HEAD, Group
from ...core.quantization.level import Level
from ...core.quiet import no_progress_bars
from .bitsandbytes_modes import INT8, Layout, layout, mode_of, packed, settings
from .reloading import reloaded


class BitsandbytesExporter(QuantizingExporter):
    """Codes are written as they were searched: nothing is quantised again, and no forward pass comes before, after
    which bitsandbytes 0.50 saves other codes than it had."""

    name = "bitsandbytes"
    exact = True
    formats: ClassVar[tuple[str, ...]] = (
        *(f"{kind}{block}{double}" for kind in ("nf4", "fp4") for block in ("", "-b32", "-b128", "-b256")
          for double in ("", "-dq")),
        INT8,
    )  # fmt: skip

    def write(self, plan: Plan, directory: Path) -> None:
        """See `Exporter.write`."""
        write_model(plan, directory, encoding=_Packed())

    def refuses(self, level: Level | None, group: Group, info: TensorInfo) -> str | None:
        """See `QuantizingExporter.refuses`."""
        if level is None:
            return None
        if mode_of(level) is None:
            return f"it has {', '.join(self.formats)}, and not {level.label}"
        if group.kind in (EMBEDDING, HEAD, EXPERTS):
            return f"transformers replaces linear layers only, and not {group.kind}; leave it as it is"
        return level.format.misfit(info.shape)

    def mode(self, level: Level | None) -> str | None:
        """See `QuantizingExporter.mode`: transformers makes all quantised layers of a model of one kind."""
        return None if level is None else mode_of(level)

    def missing(self) -> str | None:
        """See `QuantizingExporter.missing`."""
        installed = find_spec("bitsandbytes") is not None
        return None if installed else "bitsandbytes is not installed: pip install 'heterosis[bitsandbytes]'"

    def nbytes(self, plan: Plan) -> int:
        """See `QuantizingExporter.nbytes`."""
        return file_bytes(plan, _Packed())

    def most_bytes(self, name: str, info: TensorInfo, level: Level | None) -> int:
        """See `QuantizingExporter.most_bytes`."""
        return most_tensor_bytes(layout(name, info, level))

    def fixed_bytes(self, plan: Plan) -> int:
        """See `QuantizingExporter.fixed_bytes`."""
        return most_file_bytes(plan)

    def load(self, directory: Path) -> object:
        """See `QuantizingExporter.load`: 4-bit weights are dequantised by bitsandbytes, as in each forward pass; layers
        of LLM.int8() stay its own.

        Raises:
            ConfigurationError: the extra is not installed.
        """
        if (missing := self.missing()) is not None:
            raise ConfigurationError(f"the export cannot be verified: {missing}")
        # which says at every layer and call that inputs become float16, as the method has it
        logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
        model: Any = reloaded(directory)
        if getattr(model, "is_loaded_in_4bit", False):
            with no_progress_bars():
                model.dequantize(model.dtype)
        return model.eval().requires_grad_(False)


class _Packed(Encoding):
    def layout(self, tensor: TensorPlan) -> Layout:
        return layout(tensor.name, tensor.info, tensor.level)

    def encode(self, tensor: TensorPlan, operands: Operands) -> Sequence[torch.Tensor]:
        if tensor.level is None:
            return super().encode(tensor, operands)
        return packed(tensor.level, compute_quantized(tensor, operands), tensor.info.dtype)

    def config(self, plan: Plan) -> Mapping[str, Any]:
        quantised = [(tensor.level, tensor.info.dtype) for tensor in plan.tensors if tensor.level is not None]
        if not quantised:
            return {}
        found = settings([level for level, _ in quantised], quantised[0][1])
        return {"quantization_config": {**found, "llm_int8_skip_modules": _skipped(plan)}}


def _skipped(plan: Plan) -> list[str]:
    """Linear layers that stay as they are."""
    found = [
        tensor.name.removesuffix(".weight")
        for tensor in plan.tensors
        if len(tensor.info.shape) == 2 and tensor.level is None and not is_input_embedding(tensor.name)
    ]
    return [*found, *([] if "lm_head" in found else ["lm_head"])]
