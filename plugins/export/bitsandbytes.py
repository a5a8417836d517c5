"""Exporter `bitsandbytes`: NF4 and FP4 weights, stored as transformers saves them with bitsandbytes' extra."""

from __future__ import annotations

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
from ..formats.codebook import CodebookFormat
from ..formats.dynamic_map import BLOCK
from .reloading import reloaded

Layout = Sequence[tuple[str, TensorInfo]]


class BitsandbytesExporter(QuantizingExporter):
    """Codes are written as they were searched: nothing is quantised again, and no forward pass comes before, after
    which bitsandbytes 0.50 saves other codes than it had."""

    name = "bitsandbytes"
    exact = True
    formats: ClassVar[tuple[str, ...]] = tuple(
        f"{kind}{block}{double}"
        for kind in ("nf4", "fp4")
        for block in ("", "-b32", "-b128", "-b256")
        for double in ("", "-dq")
    )

    def write(self, plan: Plan, directory: Path) -> None:
        """See `Exporter.write`. Raises ConfigurationError also if NF4 and FP4 are mixed."""
        encoding = _Packed()
        encoding.config(plan)
        write_model(plan, directory, encoding=encoding)

    def refuses(self, level: Level | None, group: Group, info: TensorInfo) -> str | None:
        """See `QuantizingExporter.refuses`."""
        if level is None:
            return None
        if not isinstance(level.format, CodebookFormat):
            return f"it has {', '.join(self.formats)}, and not {level.format.label}"
        if group.kind in (EMBEDDING, HEAD, EXPERTS):
            return f"transformers replaces linear layers only, and not {group.kind}; leave it as it is"
        return level.format.misfit(info.shape)

    def missing(self) -> str | None:
        """See `QuantizingExporter.missing`."""
        installed = find_spec("bitsandbytes") is not None
        return None if installed else "bitsandbytes is not installed: pip install 'heterosis[bitsandbytes]'"

    def nbytes(self, plan: Plan) -> int:
        """See `QuantizingExporter.nbytes`."""
        return file_bytes(plan, _Packed())

    def most_bytes(self, name: str, info: TensorInfo, level: Level | None) -> int:
        """See `QuantizingExporter.most_bytes`."""
        return most_tensor_bytes(_layout(name, info, level))

    def fixed_bytes(self, plan: Plan) -> int:
        """See `QuantizingExporter.fixed_bytes`."""
        return most_file_bytes(plan)

    def load(self, directory: Path) -> object:
        """See `QuantizingExporter.load`: the weights are dequantised by bitsandbytes, as in each forward pass.

        Raises:
            ConfigurationError: the extra is not installed.
        """
        if (missing := self.missing()) is not None:
            raise ConfigurationError(f"the export cannot be verified: {missing}")
        model: Any = reloaded(directory)
        if getattr(model, "hf_quantizer", None) is not None:
            with no_progress_bars():
                model.dequantize(model.dtype)
        return model.eval().requires_grad_(False)


class _Packed(Encoding):
    def layout(self, tensor: TensorPlan) -> Layout:
        return _layout(tensor.name, tensor.info, tensor.level)

    def encode(self, tensor: TensorPlan, operands: Operands) -> Sequence[torch.Tensor]:
        if tensor.level is None:
            return super().encode(tensor, operands)
        quantized = compute_quantized(tensor, operands)
        return list(_format(tensor.level).stored(quantized, tensor.info.dtype).values())

    def config(self, plan: Plan) -> Mapping[str, Any]:
        packed = [tensor for tensor in plan.tensors if tensor.level is not None]
        if not packed:
            return {}
        formats = [_format(tensor.level) for tensor in packed if tensor.level is not None]
        kinds = sorted({one.kind for one in formats})
        if len(kinds) > 1:
            raise ConfigurationError(f"bitsandbytes holds one kind of 4 bits in a model, not {' and '.join(kinds)}")
        found = {
            "quant_method": "bitsandbytes",
            "load_in_4bit": True,
            "bnb_4bit_quant_type": kinds[0],
            "bnb_4bit_use_double_quant": any(one.double for one in formats),
            "bnb_4bit_compute_dtype": str(packed[0].info.dtype).removeprefix("torch."),
            "bnb_4bit_quant_storage": "uint8",
            "llm_int8_skip_modules": _skipped(plan),
        }
        return {"quantization_config": found}


def _skipped(plan: Plan) -> list[str]:
    """Linear layers that stay as they are."""
    found = [
        tensor.name.removesuffix(".weight")
        for tensor in plan.tensors
        if len(tensor.info.shape) == 2 and tensor.level is None and not is_input_embedding(tensor.name)
    ]
    return [*found, *([] if "lm_head" in found else ["lm_head"])]


def _layout(name: str, info: TensorInfo, level: Level | None) -> Layout:
    if level is None:
        return [(name, info)]
    kind = _format(level)
    blocks = info.elements // kind.block
    found = [
        (name, TensorInfo((info.elements // 2, 1), torch.uint8)),
        (f"{name}.absmax", TensorInfo((blocks,), torch.uint8 if kind.double else torch.float32)),
        (f"{name}.quant_map", TensorInfo((16,), torch.float32)),
    ]
    if kind.double:
        found.append((f"{name}.nested_absmax", TensorInfo((-(-blocks // BLOCK),), torch.float32)))
        found.append((f"{name}.nested_quant_map", TensorInfo((256,), torch.float32)))
    description = kind.nbytes(info.shape) - sum(stored.nbytes for _, stored in found)
    return [*found, (f"{name}.quant_state.bitsandbytes__{kind.kind}", TensorInfo((description,), torch.uint8))]


def _format(level: Level) -> CodebookFormat:
    assert isinstance(level.format, CodebookFormat)
    return level.format
