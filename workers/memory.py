"""Memory that a study's candidates take on a device, foreseen from their plan: never found out by a crash."""

from __future__ import annotations

import math

from ..core.executors import costs
from ..core.plan import plan
from ..core.study_spec import StudySpec

_PASS_TOKENS = 512
"""Batches are halved down to fewer tokens than this before an evaluation fails for lack of memory."""

_WIDTHS = 24
"""So many values of a hidden state's size does a token take in a forward pass (attention, MLP, residual)."""

_CONTEXT = 600 << 20
"""What the device's libraries take for themselves before there is any model."""


def foreseen_bytes(spec: StudySpec) -> int:
    """Device memory for one candidate of a study: the model, the tensor that takes most to merge, a small batch.

    Sources that fit beside it stay on the device; those that do not are streamed, so they are not counted.

    Raises:
        CheckpointError: a checkpoint is missing or damaged.
    """
    space = spec.space
    references = space.references()
    planned = plan(references.get("uniform average", references["base"]), space.checkpoints)
    # base, sources, and the result, each in float32, of the tensor that takes most
    inputs = len(space.labelled) + 2
    merge = max(math.prod(tensor.info.shape) for tensor in planned.tensors) * 4 * inputs
    text = planned.config.get("text_config") or planned.config
    vocabulary, width = int(text["vocab_size"]), int(text.get("hidden_size") or text.get("n_embd") or text["d_model"])
    batch = _PASS_TOKENS * (2 * vocabulary + _WIDTHS * width) * 4
    return costs(planned).bytes + max(merge, batch) + _CONTEXT
