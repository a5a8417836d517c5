"""The live executor: writes a plan into the parameters of a resident model, for evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from ..checkpoints import Checkpoint
from ..errors import CheckpointError, MaterialiseError
from ..plan import Plan
from ..quiet import no_progress_bars
from .compute import compute


class LiveExecutor:
    """Holds a model whose weights are whatever plan came last; only tensors that differ from it are recomputed.

    Args:
        model: a module whose parameters have the plans' names; it is written into.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model
        self._targets = _by_stored_name(model)
        self._loaded: dict[str, str] = {}

    def materialise(self, plan: Plan) -> int:
        """Makes the resident model the planned one.

        Returns:
            How many tensors had to be computed.

        Raises:
            MaterialiseError: a tensor is not finite, or the model and the plan have not the same tensors.
        """
        self._check_names(plan)
        computed = 0
        for tensor in plan.tensors:
            if self._loaded.get(tensor.name) == tensor.hash:
                continue
            target = self._targets[tensor.name]
            self._loaded.pop(tensor.name, None)
            compute(tensor, plan.sources, target.device, target.data)
            self._loaded[tensor.name] = tensor.hash
            computed += 1
        return computed

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


def resident_model(template: Checkpoint, dtype: torch.dtype, device: torch.device | str = "cpu") -> torch.nn.Module:
    """A transformers model of the template's architecture, ready to be written into.

    Raises:
        CheckpointError: transformers does not know the architecture, or the folder does not load.
    """
    from transformers import AutoModelForCausalLM

    try:
        with no_progress_bars():
            model: torch.nn.Module = AutoModelForCausalLM.from_pretrained(
                template.directory, dtype=dtype, use_safetensors=True, local_files_only=True, trust_remote_code=False
            )
    except (ValueError, OSError, KeyError) as error:
        raise CheckpointError(f"transformers cannot load {template.reference}: {error}") from error
    return model.to(device).eval().requires_grad_(False)
