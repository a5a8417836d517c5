"""Statistics `kurtail`: the rotation of hidden features that makes a model's layer inputs flat, learned on texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from ..core.calibration import DEFAULT_LENGTH, DEFAULT_TOKENS
from ..core.checkpoints import Checkpoint
from ..core.contracts.provider import Progress
from ..core.quantization.rotation import KURTAIL, MATRIX
from ..core.rotate import INPUT_NORMS, check_family
from .gathering import Gathered, Gathering
from .learned_rotation import learned_rotation

ROWS = 512
"""Inputs of each norm that are held: tokens drawn from the whole run, the same of each."""


class KurTail(Gathering):
    """One tensor, `rotation`: R of `learned_rotation`, shape (hidden, hidden), float32.

    Inputs are those of the layers' attention and MLP: what their norms give, without the gains, which a rotated model
    has elsewhere. Held until the end are 8,192 * hidden * layers bytes: 0.14 GB for SmolLM2-135M, 1.1 GB for a Llama of
    7B. Each step of learning solves a system of the hidden size, so that large models want a GPU.
    """

    name = KURTAIL

    def gather(
        self,
        checkpoint: Checkpoint,
        texts: Path,
        progress: Progress,
        tokens: int = DEFAULT_TOKENS,
        length: int = DEFAULT_LENGTH,
        device: str | None = None,
    ) -> Path:
        """See `Gathering.gather`. Raises ConfigurationError, too, for a family that cannot be rotated."""
        check_family(checkpoint.config)
        return super().gather(checkpoint, texts, progress, tokens, length, device)

    def sums(self, model: PreTrainedModel, run: Callable[[], Iterator[torch.Tensor]]) -> Gathered:
        """See `Gathering.sums`."""
        norms = {name: module for name, module in model.named_modules() if name.rpartition(".")[2] in INPUT_NORMS}
        given: dict[str, torch.Tensor] = {}
        held: dict[str, torch.Tensor] = {}
        order = torch.empty(0)
        random = torch.Generator().manual_seed(0)
        hooks = [module.register_forward_pre_hook(partial(_note, given, name)) for name, module in norms.items()]
        with torch.no_grad():
            for ids in run():
                model(ids, use_cache=False)
                # those with the least of random numbers are a sample of all tokens, however many there will be
                order, kept = torch.cat([order, torch.rand(ids.numel(), generator=random)]).sort()
                order, kept = order[:ROWS], kept[:ROWS].to(ids.device)
                for name, rows in given.items():
                    held[name] = torch.cat([held[name], rows])[kept] if name in held else rows[kept]
        for hook in hooks:
            hook.remove()
        return Gathered({MATRIX: learned_rotation(torch.stack(list(held.values())))})


def _note(given: dict[str, torch.Tensor], name: str, _module: Any, inputs: tuple[torch.Tensor, ...]) -> None:
    rows = inputs[0].flatten(0, -2).float()
    given[name] = torch.nn.functional.rms_norm(rows, rows.shape[-1:])
