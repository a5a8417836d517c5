"""Exporter `compressed-tensors`: quantised weights for transformers and vLLM, a scheme of its own for each layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch

from ...core.checkpoints.base import TensorInfo
from ...core.contracts.target import QuantizingExporter
from ...core.embeddings import is_input_embedding, is_output_embedding
from ...core.executors import write_model
from ...core.executors.compute import compute_quantized
from ...core.executors.encoding import Encoding
from ...core.executors.operands import Operands
from ...core.executors.shards import file_bytes, most_file_bytes, most_tensor_bytes
from ...core.plan import Plan, TensorPlan
from ...core.quantization.groups import EMBEDDING, EXPERTS, Group
from ...core.quantization.level import Level
from .compressed_tensors_experts import EVERY_EXPERT, is_expert, refusal, scheme_of_unquantised
from .compressed_tensors_loading import decompressed
from .compressed_tensors_schemes import Layout, Scheme, scheme_of

_MIXED = "mixed-precision"


class CompressedTensorsExporter(QuantizingExporter):
    """Weights in safetensors, `quantization_config` in config.json; the rest as the exporter `safetensors` has it."""

    name = "compressed-tensors"
    exact = True
    alike: ClassVar[frozenset[str]] = frozenset({EXPERTS})
    formats: ClassVar[tuple[str, ...]] = (
        *(f"int{width}{group}{zeros}" for width in range(2, 9) for group in ("", "-g64", "-g32", "-channel")
          for zeros in ("", "-asym")),
        *("nvfp4", "mxfp4", "mxfp8", "fp8_e4m3"),
    )  # fmt: skip

    def write(self, plan: Plan, directory: Path) -> None:
        """See `Exporter.write`."""
        write_model(plan, directory, encoding=_Compressed())

    def refuses(self, level: Level | None, group: Group, info: TensorInfo) -> str | None:
        """See `QuantizingExporter.refuses`."""
        if level is None:
            return None
        misfit = level.format.misfit(info.shape)
        if misfit is not None:
            return misfit
        if group.kind == EMBEDDING:
            return (
                "transformers 5.23 makes no room for packed embeddings, nor for those that the output layer shares; "
                "leave it as it is, or choose the target gguf, which holds them"
            )
        scheme = scheme_of(level.format)
        if isinstance(scheme, str):
            return scheme
        if group.kind == EXPERTS and (reason := refusal(scheme)) is not None:
            return reason
        if scheme.needs_bfloat16 and info.dtype != torch.bfloat16:
            name = str(info.dtype).removeprefix("torch.")
            return (
                f"its {level.format.label} weights come out as bfloat16, and the model is {name}; set dtype: bfloat16"
            )
        return None

    def refuses_source(self, config: dict[str, object]) -> str | None:
        """See `QuantizingExporter.refuses_source`."""
        kind = config.get("model_type")
        if config.get("is_encoder_decoder"):
            return f"{kind} is an encoder with a decoder"
        from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

        return None if kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES else f"transformers has no language model {kind!r}"

    def nbytes(self, plan: Plan) -> int:
        """See `QuantizingExporter.nbytes`."""
        return file_bytes(plan, _Compressed())

    def most_bytes(self, name: str, info: TensorInfo, level: Level | None) -> int:
        """See `QuantizingExporter.most_bytes`."""
        return most_tensor_bytes(_layout(name, info, level))

    def fixed_bytes(self, plan: Plan) -> int:
        """See `QuantizingExporter.fixed_bytes`."""
        return most_file_bytes(plan)

    def load(self, directory: Path) -> object:
        """See `QuantizingExporter.load`. transformers would decompress the weights at the first forward pass."""
        return decompressed(directory)


class _Compressed(Encoding):
    def layout(self, tensor: TensorPlan) -> Layout:
        return _layout(tensor.name, tensor.info, tensor.level)

    def encode(self, tensor: TensorPlan, operands: Operands) -> Sequence[torch.Tensor]:
        if tensor.level is None:
            return super().encode(tensor, operands)
        return _scheme(tensor.level).pack(compute_quantized(tensor, operands), tensor.info.dtype)

    def config(self, plan: Plan) -> Mapping[str, Any]:
        targets: dict[Scheme, list[str]] = {}
        for tensor in plan.tensors:
            if tensor.level is not None:
                modules = targets.setdefault(_scheme(tensor.level), [])
                if (target := _target(tensor.name)) not in modules:
                    modules.append(target)
        if not targets:
            return {}
        return {
            "quantization_config": _quantization_config(targets, _ignored(plan), scheme_of_unquantised(plan.tensors))
        }


def _quantization_config(
    targets: Mapping[Scheme, list[str]], ignored: list[str], idle: Mapping[str, Any] | None
) -> dict[str, Any]:
    import compressed_tensors
    from compressed_tensors.quantization import QuantizationArgs, QuantizationConfig, QuantizationScheme

    kinds = {scheme.compression for scheme in targets}
    groups = {
        f"group_{number}": QuantizationScheme(
            targets=modules, weights=QuantizationArgs(**scheme.arguments()), format=scheme.compression
        )
        for number, (scheme, modules) in enumerate(targets.items())
    }
    if idle is not None:
        groups["unquantised"] = QuantizationScheme.model_validate(idle)
    config = QuantizationConfig(
        config_groups=groups,
        format=kinds.pop() if len(kinds) == 1 else _MIXED,
        quantization_status="compressed",
        ignore=ignored,
    )
    return {"version": compressed_tensors.__version__, **config.model_dump(mode="json")}


def _ignored(plan: Plan) -> list[str]:
    """Linear layers that are not quantised: vLLM wants each to be a target, or named here. The output may be tied."""
    found = [
        _module(tensor.name)
        for tensor in plan.tensors
        if len(tensor.info.shape) == 2 and tensor.level is None and tensor.name.endswith(".weight")
        if not is_input_embedding(tensor.name)
    ]
    return found if any(is_output_embedding(tensor.name) for tensor in plan.tensors) else [*found, "lm_head"]


def _layout(name: str, info: TensorInfo, level: Level | None) -> Layout:
    if level is None:
        return [(name, info)]
    return [(f"{_module(name)}.{part}", stored) for part, stored in _scheme(level).layout(info)]


def _scheme(level: Level) -> Scheme:
    scheme = scheme_of(level.format)
    assert isinstance(scheme, Scheme)
    return scheme


def _target(name: str) -> str:
    """What finds the module. The names of experts in files are not those that engines have."""
    return EVERY_EXPERT if is_expert(name) else _module(name)


def _module(name: str) -> str:
    return name.removesuffix(".weight")
