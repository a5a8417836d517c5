"""The live executor: writes a plan into the parameters of a resident model, for evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch.overrides import TorchFunctionMode

from ..checkpoints import Checkpoint
from ..checkpoints.float8 import QUANTIZED
from ..embeddings import is_output_embedding
from ..errors import CheckpointError, MaterialiseError
from ..plan import Plan, TensorPlan
from ..quiet import no_progress_bars
from .activation_hooks import ActivationHooks
from .compute import compute_all
from .operands import Operands
from .tensor_store import TensorStore
from .tied import fit_ties


class LiveExecutor:
    """Holds a model whose weights are whatever plan came last; only tensors that differ from it are recomputed.

    Args:
        model: a module whose parameters have the plans' names; it is written into.
        store: where quantised tensors are looked for, and kept.

    Attributes:
        plan: what the model is now; None if it is nothing whole.
    """

    def __init__(self, model: torch.nn.Module, store: TensorStore | None = None) -> None:
        self.model = model
        self.store = store
        self.plan: Plan | None = None
        self._targets = _by_stored_name(model)
        self._loaded: dict[str, tuple[Any, ...]] = {}
        self._operands: Operands | None = None
        self._hooks = ActivationHooks(model)

    def materialise(self, plan: Plan) -> int:
        """Makes the resident model the planned one.

        Returns:
            How many tensors had to be computed.

        Raises:
            MaterialiseError: a tensor is not finite, or the model and the plan have not the same tensors.
        """
        self.plan = None
        self._fit_ties(plan)
        self._check_names(plan)
        if self._operands is None or self._operands.sources is not plan.sources:
            device = next(iter(self._targets.values())).device
            known = {} if self._operands is None else self._operands.arithmetic
            self._operands = Operands(plan.sources, keep=True, device=device, store=self.store)
            self._operands.arithmetic |= known
        changed = [tensor for tensor in plan.tensors if self._loaded.get(tensor.name) != _built(tensor)]
        for tensor in changed:
            self._loaded.pop(tensor.name, None)
            self._operands.arithmetic.pop(tensor.name, None)

        def note(tensor: TensorPlan) -> None:
            self._loaded[tensor.name] = _built(tensor)

        compute_all([(tensor, self._targets[tensor.name].data) for tensor in changed], self._operands, note)
        known = self._operands.arithmetic
        self._hooks.set({tensor.name.removesuffix(".weight"): known.get(tensor.name) for tensor in plan.tensors})
        self.plan = plan
        return len(changed)

    def _fit_ties(self, plan: Plan) -> None:
        if fit_ties(self.model, (tensor.name for tensor in plan.tensors)):
            self._targets = _by_stored_name(self.model)
            self._loaded = {name: steps for name, steps in self._loaded.items() if not is_output_embedding(name)}

    def _check_names(self, plan: Plan) -> None:
        planned = {tensor.name for tensor in plan.tensors}
        if strangers := sorted(planned - self._targets.keys()):
            raise MaterialiseError(f"the resident model has no tensor {strangers[0]!r}")
        written = {self._targets[name].data_ptr() for name in planned}
        missed = sorted(name for name, target in self._targets.items() if target.data_ptr() not in written)
        if missed:
            raise MaterialiseError(f"the plan leaves {missed[0]!r} of the resident model unwritten")
        for tensor in plan.tensors:
            target = self._targets[tensor.name]
            if tuple(target.shape) != tensor.info.shape or target.dtype != tensor.info.dtype:
                raise MaterialiseError(
                    f"{tensor.name} is {target.dtype} {list(target.shape)} in the resident model, but "
                    f"{tensor.info.dtype} {list(tensor.info.shape)} in the plan"
                )


def _built(tensor: TensorPlan) -> tuple[Any, ...]:
    """What the values of a tensor follow from."""
    return tensor.steps, tensor.rotate, tensor.quantize


def _by_stored_name(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers under the names their checkpoints have, each a part of the model that is written into.

    transformers renames some on loading and joins others (a layer's experts, for example); of a joined one, what a
    checkpoint stores is a view.

    Raises:
        MaterialiseError: what a checkpoint stores is no part of the model as it is.
    """
    from transformers import PreTrainedModel
    from transformers.core_model_loading import revert_weight_conversion

    targets: dict[str, torch.Tensor] = model.state_dict(keep_vars=True)
    if not isinstance(model, PreTrainedModel):
        return targets
    own = {target.untyped_storage().data_ptr() for target in targets.values()}
    with torch.no_grad(), _NoCopies():
        stored: dict[str, torch.Tensor] = revert_weight_conversion(model, targets)
    for name, target in stored.items():
        if target.untyped_storage().data_ptr() not in own:  # writing into it would change nothing
            raise MaterialiseError(
                f"transformers rearranges {name} when it loads a {type(model).__name__}, so a loaded model cannot be "
                "turned into another candidate; such models can be merged (`write_model`), not searched"
            )
    return stored


class _NoCopies(TorchFunctionMode):
    """Parts of a tensor stay views of it: transformers, which makes them for saving, copies each to be contiguous."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return args[0] if func is torch.Tensor.contiguous else func(*args, **(kwargs or {}))


def resident_model(
    template: Checkpoint,
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
    config: Mapping[str, Any] | None = None,
) -> torch.nn.Module:
    """A transformers model of the template's architecture, ready to be written into.

    Args:
        config: a plan's, where the model may have another number of layers or tokens than the template.

    Raises:
        CheckpointError: transformers does not know the architecture, or the folder does not load.
    """
    try:
        with no_progress_bars():
            model = _made(template, dtype, config)
    except (ValueError, OSError, KeyError) as error:
        raise CheckpointError(f"transformers cannot load {template.reference}: {error}") from error
    return model.to(device).eval().requires_grad_(False)


def _made(template: Checkpoint, dtype: torch.dtype, own: Mapping[str, Any] | None) -> torch.nn.Module:
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.initialization import no_init_weights

    maker: Any = AutoModelForCausalLM
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    config = AutoConfig.from_pretrained(template.directory, **local)
    model: Any
    if getattr(config, QUANTIZED, None) is None and own in (None, template.config):
        model = maker.from_pretrained(template.directory, dtype=dtype, use_safetensors=True, **local)
        return cast(torch.nn.Module, model)
    if own is not None:
        config = type(config).from_dict(dict(own))
    if getattr(config, QUANTIZED, None) is not None:
        delattr(config, QUANTIZED)  # what is written into it is not quantised, so its layers must be plain ones
    with no_init_weights():
        model = maker.from_config(config, dtype=dtype, trust_remote_code=False)
    model.tie_weights()  # which is left out with the initial weights
    return cast(torch.nn.Module, model)
