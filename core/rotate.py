"""Planning a rotated model: whose inputs, whose outputs, and which gains go where (QuaRot, 2024; SpinQuant, 2024).

With RMSNorm's gains folded into the matrices that read its output, features may be turned by any orthogonal R: the
norm of what is turned is the same. What reads the hidden features becomes W diag(gain) R, what writes them R^T W.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from .errors import ConfigurationError
from .layout import at_layer, place_of
from .quantization.rotation import HADAMARD, LearnedRotation, Rotation
from .seeds import derived_seed

if TYPE_CHECKING:
    from .plan import TensorPlan

Role: TypeAlias = Literal["reads", "writes", "norm"]
FAMILIES = ("llama", "mistral", "qwen2", "qwen3")
_ATTENTION, _MLP, _FINAL = "input_layernorm", "post_attention_layernorm", "model.norm.weight"
_NORM_OF = {"q_proj": _ATTENTION, "k_proj": _ATTENTION, "v_proj": _ATTENTION, "gate_proj": _MLP, "up_proj": _MLP}
_WRITERS = ("o_proj", "down_proj")
_WITHIN_HEADS = ("q_norm", "k_norm")
INPUT_NORMS = (_ATTENTION, _MLP)
"""The norms in a layer whose results, gains taken out, are what rotated weights read."""
_EMBEDDING, _HEAD = "model.embed_tokens.weight", "lm_head.weight"


@dataclass(frozen=True)
class RotateStep:
    """Rotating one merged tensor.

    Attributes:
        role: `reads`: W becomes W diag(gain) R (an embedding's rows, which no gain goes into, become rows times R);
            `writes`: W becomes R^T W, and so does a bias; `norm`: the gain went elsewhere, ones are left.
        rotation: R.
        gain: the norm whose result is read, as it would be merged.
    """

    role: Role
    rotation: Rotation | LearnedRotation
    gain: TensorPlan | None = None

    @property
    def own_content(self) -> list[Any]:
        """JSON-ready: what it does, but for how the gain comes about, and what a learned rotation is."""
        gain = None if self.gain is None else str(self.gain.info.dtype)
        seed = self.rotation.seed if isinstance(self.rotation, Rotation) else None
        return [self.role, self.rotation.kind, self.rotation.size, seed, gain]

    @property
    def learned(self) -> tuple[str, str] | None:
        """Where a learned rotation stands: key of a checkpoint, name there; None if it is not learned, or not used."""
        if self.role == "norm" or isinstance(self.rotation, Rotation):
            return None
        return self.rotation.checkpoint, self.rotation.tensor

    @property
    def content(self) -> list[Any]:
        """JSON-ready: what it does."""
        content = [*self.own_content, None if self.gain is None else self.gain.hash]
        return content if self.learned is None else [*content, self.learned]


def rotated(
    tensors: Sequence[TensorPlan], config: Mapping[str, Any], seed: int, learned: tuple[str, str, str] | None = None
) -> tuple[tuple[TensorPlan, ...], dict[str, Any]]:
    """The tensors, each with its part in the rotation, and the config of the rotated model.

    A tied model gets an output embedding of its own: the final norm's gain goes into that alone.

    Args:
        config: the planned model's config.json.
        seed: the recipe's.
        learned: a rotation's kind, and where it stands (see `LearnedRotation`); None: Hadamard's.

    Raises:
        ConfigurationError: it is of another family, or has a tensor that they have not.
    """
    check_family(config)
    by_name = {tensor.name: tensor for tensor in tensors}
    for name in (_EMBEDDING, _FINAL):
        if name not in by_name:
            raise ConfigurationError(f"quantize: a rotation needs the tensor {name!r}, which the model lacks")
    if _HEAD not in by_name:
        by_name[_HEAD] = replace(by_name[_EMBEDDING], name=_HEAD)
    size = by_name[_EMBEDDING].info.shape[1]
    rotation: Rotation | LearnedRotation
    if learned is None:
        rotation = Rotation(HADAMARD, size, derived_seed(seed, "rotation"))
    else:
        kind, *place = learned
        rotation = LearnedRotation(kind, size, *place)
    found = tuple(replace(tensor, rotate=_step(name, by_name, rotation)) for name, tensor in by_name.items())
    return found, {**config, "tie_word_embeddings": False}


def check_family(config: Mapping[str, Any]) -> None:
    """Raises ConfigurationError if it is not known how models with this config.json are rotated."""
    family = config.get("model_type")
    if family not in FAMILIES:
        raise ConfigurationError(
            f"quantize: models of the family {family!r} cannot be rotated, only {', '.join(FAMILIES)}; leave out "
            "`rotation`"
        )


def _step(name: str, tensors: Mapping[str, TensorPlan], rotation: Rotation | LearnedRotation) -> RotateStep | None:
    module, _, kind = name.rpartition(".")
    module = module.rpartition(".")[2]
    if name == _EMBEDDING:
        return RotateStep("reads", rotation)
    if name == _HEAD:
        return RotateStep("reads", rotation, tensors[_FINAL])
    if name == _FINAL or (place_of(name).layer is not None and module in (_ATTENTION, _MLP) and kind == "weight"):
        return RotateStep("norm", rotation)
    if place_of(name).layer is not None and module in _NORM_OF:
        gain = at_layer(f"model.layers.0.{_NORM_OF[module]}.weight", place_of(name).layer or 0)
        return RotateStep("reads", rotation, tensors[gain]) if kind == "weight" else None
    if place_of(name).layer is not None and module in _WRITERS:
        return RotateStep("writes", rotation)
    if place_of(name).layer is not None and (module in _WITHIN_HEADS or kind == "inv_freq"):
        return None
    raise ConfigurationError(f"quantize: it is not known how {name!r} is rotated; leave out `rotation`")
