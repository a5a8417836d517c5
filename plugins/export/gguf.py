"""Exporter `gguf`: one file for llama.cpp and what is built on it; every tensor may have a type of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter

from ...core.checkpoints.base import TensorInfo
from ...core.contracts.target import QuantizingExporter
from ...core.errors import ConfigurationError
from ...core.executors.disk import release, whole_folder, write_companions
from ...core.executors.operands import Operands
from ...core.executors.tokenizer import write_tokenizer
from ...core.plan import Plan
from ...core.quantization.groups import Group
from ...core.quantization.level import Level
from .gguf_loading import MODEL_DTYPE, load_gguf
from .gguf_metadata import add_metadata, architecture, unsupported
from .gguf_names import gguf_name
from .gguf_payload import ALIGNMENT, ggml_type, payload, payload_bytes
from .gguf_tokenizer import add_tokenizer

FILE = "model.gguf"
_QUANTIZATION_VERSION = 2


class GgufExporter(QuantizingExporter):
    """A folder with `model.gguf`, the tokenizer's own files, recipe and model card."""

    name = "gguf"
    formats: ClassVar[tuple[str, ...]] = (
        *("q2_k", "q3_k", "q4_k", "q5_k", "q6_k"),
        *("q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "mxfp4_ocp"),
    )

    def __init__(self) -> None:
        self._heads: dict[Any, int] = {}

    def write(self, plan: Plan, directory: Path) -> None:
        """See `Exporter.write`; peak memory is a few tensors."""
        _check(plan)
        operands = Operands(plan.sources)
        with whole_folder(directory) as partial:
            writer = _described(plan, partial / FILE)
            try:
                for tensor in plan.tensors:
                    kind = ggml_type(tensor.info, tensor.level)
                    assert kind is not None  # checked above
                    size = payload_bytes(tensor.info, tensor.level)
                    stated = np.dtype(np.float32)  # which the type in the file overrules
                    name = gguf_name(tensor.name)
                    writer.add_tensor_info(name, tensor.info.shape, stated, size, GGMLQuantizationType(kind))
                writer.write_header_to_file()
                writer.write_kv_data_to_file()
                writer.write_ti_data_to_file()
                for tensor in plan.tensors:
                    writer.write_tensor_data(payload(tensor, operands, plan.config))
                    release(plan, tensor)
            finally:
                writer.close()
            write_companions(plan, partial, directory.name, (partial / FILE).stat().st_size)

    def refuses(self, level: Level | None, group: Group, info: TensorInfo) -> str | None:
        """See `QuantizingExporter.refuses`."""
        if level is not None and (misfit := level.format.misfit(info.shape)) is not None:
            return misfit
        if ggml_type(info, level) is not None:
            return None
        kind = str(info.dtype).removeprefix("torch.") if level is None else level.format.label
        return f"GGUF has no type for {kind}; it has {', '.join(self.formats)}, and float32, float16, bfloat16"

    def refuses_source(self, config: dict[str, object]) -> str | None:
        """See `QuantizingExporter.refuses_source`."""
        return unsupported(config)

    def nbytes(self, plan: Plan) -> int:
        """See `QuantizingExporter.nbytes`."""
        _check(plan)
        infos = sum(_entry_bytes(gguf_name(tensor.name), tensor.info) for tensor in plan.tensors)
        payloads = sum(_padded(payload_bytes(tensor.info, tensor.level)) for tensor in plan.tensors)
        return _padded(self._head_bytes(plan) + infos) + payloads

    def most_bytes(self, name: str, info: TensorInfo, level: Level | None) -> int:
        """See `QuantizingExporter.most_bytes`."""
        return _entry_bytes(gguf_name(name), info) + _padded(payload_bytes(info, level))

    def fixed_bytes(self, plan: Plan) -> int:
        """See `QuantizingExporter.fixed_bytes`."""
        _check(plan)
        return self._head_bytes(plan) + ALIGNMENT

    def load(self, directory: Path) -> object:
        """See `QuantizingExporter.load`."""
        return load_gguf(directory / FILE)

    def _head_bytes(self, plan: Plan) -> int:
        """Bytes of everything before the list of tensors, which does not depend on levels."""
        config = plan.config
        key = (plan.template, plan.recipe.chat_template, repr(plan.recipe.merged), id(plan.vocabulary), repr(config))
        if key not in self._heads:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / FILE
                writer = _described(plan, path)
                writer.write_header_to_file()
                writer.write_kv_data_to_file()
                writer.close()
                self._heads[key] = path.stat().st_size
        return self._heads[key]


def _check(plan: Plan) -> None:
    """Raises ConfigurationError before any work if the model cannot be written."""
    reason = unsupported(plan.config)
    if reason is not None:
        raise ConfigurationError(f"gguf cannot hold this model: {reason}; choose another exporter")
    for tensor in plan.tensors:
        gguf_name(tensor.name)
        if ggml_type(tensor.info, tensor.level) is None:
            kind = tensor.info.dtype if tensor.level is None else tensor.level.label
            raise ConfigurationError(f"gguf has no type for {tensor.name}, which is {kind}; give it another level")


def _described(plan: Plan, path: Path) -> GGUFWriter:
    """A writer that knows everything but the tensors."""
    config: Mapping[str, Any] = plan.config
    writer = GGUFWriter(path, architecture(config))
    writer.add_quantization_version(_QUANTIZATION_VERSION)
    matrices = [tensor.info for tensor in plan.tensors if len(tensor.info.shape) > 1]
    dtype = max(matrices, key=lambda info: info.elements).dtype
    writer.add_string(MODEL_DTYPE, str(dtype).removeprefix("torch."))
    add_metadata(writer, config)
    with tempfile.TemporaryDirectory() as folder:
        write_tokenizer(plan, Path(folder))
        add_tokenizer(writer, Path(folder), int(config["vocab_size"]))
    return writer


def _entry_bytes(name: str, info: TensorInfo) -> int:
    """Of a tensor in the list: length and name, number of dimensions and each, type, place."""
    return 8 + len(name.encode()) + 4 + 8 * len(info.shape) + 4 + 8


def _padded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
