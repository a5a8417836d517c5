"""Gathers statistics: runs a checkpoint over texts, once, into a file of the cache that is whole or not there."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from transformers import AutoTokenizer, PreTrainedModel
from transformers.core_model_loading import revert_weight_conversion

from ..core.calibration import DEFAULT_LENGTH, DEFAULT_TOKENS
from ..core.checkpoints import Checkpoint
from ..core.checkpoints.base import file_sha256
from ..core.checkpoints.open import cache_folder
from ..core.checkpoints.statistics import SUFFIX, metadata_of
from ..core.contracts import Statistics
from ..core.contracts.provider import Progress
from ..core.errors import CheckpointError, ConfigurationError, StorageError
from ..core.executors import LiveExecutor, resident_model
from ..core.genome import content_hash
from ..core.plan import plan
from ..core.recipe import Recipe, RecipeModel
from ..core.whole_file import whole_file
from .calibration import pieces_of, read_texts
from .token_cache import TokenCache


@dataclass(frozen=True)
class Gathered:
    """Statistics of a checkpoint.

    Attributes:
        tensors: by name.
        stored_as: from a weight's stored name to its tensor's; empty where the two are the same. Tensors that it does
            not name are known to those who ask for them.
    """

    tensors: Mapping[str, torch.Tensor]
    stored_as: Mapping[str, str] = field(default_factory=dict)


class Gathering(Statistics):
    """Statistics that come from running the model over sequences of tokens, one at a time.

    Attributes:
        version: to be raised when the same checkpoint on the same texts may give other statistics.
    """

    version: ClassVar[int] = 1

    @abstractmethod
    def sums(self, model: PreTrainedModel, run: Callable[[], Iterator[torch.Tensor]]) -> Gathered:
        """What is gathered over a run.

        Args:
            model: in evaluation mode, its parameters without gradients; it is thrown away afterwards.
            run: gives token ids, shape (1, tokens), on the model's device; to be iterated over once.
        """

    def gather(
        self,
        checkpoint: Checkpoint,
        texts: Path,
        progress: Progress,
        tokens: int = DEFAULT_TOKENS,
        length: int = DEFAULT_LENGTH,
        device: str | None = None,
    ) -> Path:
        """See `Statistics.gather`. The model runs in bfloat16 if it is stored so, else in float32."""
        if tokens < 2 or length < 2:
            raise ConfigurationError(f"{tokens} tokens in pieces of {length}: both must be at least 2")
        read = read_texts(texts)
        identity = content_hash(
            [self.version, self.name, checkpoint.fingerprint, file_sha256(texts), texts.suffix, tokens, length]
        )
        target = cache_folder() / "statistics" / f"{self.name}-{identity[:32]}{SUFFIX}"
        if target.exists():
            return target
        model, tokenize = _load(checkpoint, device or ("cuda" if torch.cuda.is_available() else "cpu"))
        sequences = pieces_of(read, tokenize, tokens, length)
        whole = sum(sequence.nbytes for sequence in sequences)
        what = f"running {checkpoint.reference} over {texts.name} for {self.name}"

        def run() -> Iterator[torch.Tensor]:
            done = 0
            for sequence in sequences:
                progress(what, done, whole)
                yield torch.tensor([sequence.tokens], device=model.device)
                done += sequence.nbytes
            progress(what, done, whole)

        gathered = self.sums(model, run)
        _check_finite(gathered, checkpoint)
        stored_as = gathered.stored_as or {name: name for name in gathered.tensors}
        _write(gathered.tensors, metadata_of(self.name, identity, checkpoint.fingerprint, stored_as), target)
        return target


def stored_tensors(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """The model's own tensors under the names that its checkpoint has."""
    return stored_form(model, model.state_dict(keep_vars=True))


def stored_form(model: PreTrainedModel, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors by the model's names (its weights, or something of each weight's shape) as its checkpoint has them."""
    stored: dict[str, torch.Tensor] = revert_weight_conversion(model, dict(tensors))
    return stored


def _load(checkpoint: Checkpoint, device: str) -> tuple[PreTrainedModel, TokenCache]:
    dtypes = {info.dtype for info in checkpoint.tensors.values()}
    # float16 has no room for small gradients
    name = "bfloat16" if torch.bfloat16 in dtypes else "float32"
    recipe = Recipe("passthrough", (RecipeModel(checkpoint.reference),), out_dtype=name)
    planned = plan(recipe, {checkpoint.reference: checkpoint})
    model = resident_model(checkpoint, getattr(torch, name), device)
    LiveExecutor(model).materialise(planned)
    assert isinstance(model, PreTrainedModel)
    try:
        tokenizer = AutoTokenizer.from_pretrained(checkpoint.directory, local_files_only=True, trust_remote_code=False)
    except (ValueError, OSError) as error:
        raise CheckpointError(f"the tokenizer of {checkpoint.reference} does not load: {error}") from error
    return model, TokenCache(model, tokenizer)


def _check_finite(gathered: Gathered, checkpoint: Checkpoint) -> None:
    for name, tensor in gathered.tensors.items():
        if not tensor.isfinite().all():
            raise CheckpointError(f"the statistics of {checkpoint.reference} are not finite, first {name}")


def _write(tensors: Mapping[str, torch.Tensor], metadata: dict[str, str], target: Path) -> None:
    try:
        with whole_file(target) as partial:
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial, metadata)
    except (OSError, SafetensorError) as error:
        raise StorageError(
            f"writing {target} failed ({error}) and nothing was kept; free some space, or set HETEROSIS_CACHE to a "
            "folder on another disk"
        ) from error
