"""Prefix reuse: a candidate whose first layers are another's starts from what that one's passes had computed there.

Hidden states after layers are kept by batch and by the hash of all that they follow from: the planned tensors of the
layers before and of whatever is outside the layers. The forward methods of layers that are skipped hand on what they
are given, the last of them what is kept, so that the model's own code runs around them: embeddings, masks, output.
"""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from transformers import PreTrainedModel

from ..core.layout import place_of, stack_of
from ..core.plan import Plan
from .batch import Batch
from .forward import node_logits

_logger = logging.getLogger(__name__)

DEFAULT_LIMIT = 512 << 20
_SHARE = 4
"""One candidate's states on the batches that are read in turn may take this part of the memory, or fewer are kept."""


class _State(NamedTuple):
    """What a layer gave; `wrapped` if it was the first of a tuple, with nothing else in it."""

    hidden: torch.Tensor
    wrapped: bool

    def given(self) -> Any:
        """As the layer gave it; a copy, because the next layer may write into it."""
        hidden = self.hidden.clone()
        return (hidden,) if self.wrapped else hidden


class PrefixReuse:
    """Passes through a resident model that leave out what is known.

    It is tried on the first batch of each form: unless logits are the same bit for bit from wherever a pass starts, as
    they are not where layers share more than hidden states, nothing is kept or left out.

    Args:
        model: causal language model whose layers are one stack.
        resident: tells what the model is now; None where that is not known, and nothing is reused.
        limit: bytes of hidden states, on the model's device; those that were used longest ago go first.

    Attributes:
        layers: how many a batch had to go through, summed over batches; `skipped` of these were not computed.
    """

    def __init__(self, model: PreTrainedModel, resident: Callable[[], Plan | None], limit: int = DEFAULT_LIMIT) -> None:
        self.layers = self.skipped = 0
        self._model = model
        self._resident = resident
        self._limit = limit
        self._held = 0
        self._states: OrderedDict[tuple[Batch, str], _State] = OrderedDict()
        self._stack = _stack(model)
        self._works: dict[bool, bool] = {}
        self._hashes: tuple[Plan, list[str]] | None = None

    def forget(self) -> None:
        """Drops all states; from now on half as many are kept, because memory ran out."""
        self._states.clear()
        self._held = 0
        self._limit //= 2

    @contextmanager
    def within(self, batch: Batch, batches: int = 1) -> Iterator[None]:
        """While it is entered, a forward pass of the model on `batch` starts where what is kept ends, and is kept.

        Args:
            batches: how many are read in turn.
        """
        hashes = self._prefixes()
        if hashes is None or not self._works_with(batch):
            yield
            return
        depth = len(self._stack)
        start = next((layer for layer in range(depth, 0, -1) if (batch, hashes[layer]) in self._states), 0)
        every = self._every(batch, batches)
        kept = {layer: (batch, hashes[layer]) for layer in range(start + 1, depth + 1) if layer % every == 0}
        first = self._states[batch, hashes[start]] if start else None
        for layer in range(1, start + 1):  # what it came from is as useful as it is
            if (batch, hashes[layer]) in self._states:
                self._states.move_to_end((batch, hashes[layer]))
        self.layers += depth
        self.skipped += start
        found: dict[int, _State] = {}
        with _replaced(self._stack, start, first, set(kept), found):
            yield
        for layer, state in found.items():
            self._keep(kept[layer], state)

    def _prefixes(self) -> list[str] | None:
        """The hash of all that the hidden states after so many layers follow from; None if that is not known."""
        plan = self._resident()
        if plan is None or not self._stack:
            return None
        if self._hashes is None or self._hashes[0] is not plan:
            found = _prefix_hashes(plan, len(self._stack))
            if found is None:
                return None
            self._hashes = plan, found
        return self._hashes[1]

    def _every(self, batch: Batch, batches: int) -> int:
        """After every how many layers the states are kept, so that there is room for several candidates'."""
        width = int(self._model.config.get_text_config().hidden_size)
        one = batch.tokens.numel() * width * self._model.dtype.itemsize
        return max(-(-one * batches * len(self._stack) * _SHARE // max(self._limit, 1)), 1)

    def _keep(self, key: tuple[Batch, str], state: _State) -> None:
        if state.hidden.nbytes > self._limit // _SHARE or key in self._states:
            return
        self._states[key] = state
        self._held += state.hidden.nbytes
        while self._held > self._limit:
            _, oldest = self._states.popitem(last=False)
            self._held -= oldest.hidden.nbytes

    def _works_with(self, batch: Batch) -> bool:
        form = batch.visible is None
        if form not in self._works:
            works = _starts_anywhere(self._model, self._stack, batch)
            if works is None:
                return False
            self._works[form] = works
            if not works:
                _logger.info("%s is not known to start from hidden states", type(self._model).__name__)
        return self._works[form]


def _prefix_hashes(plan: Plan, depth: int) -> list[str] | None:
    layers: dict[int, list[str]] = {layer: [] for layer in range(depth)}
    outside = []
    for tensor in plan.tensors:
        layer = place_of(tensor.name).layer
        if layer is None:
            outside.append(tensor.hash)
        elif layer in layers:
            layers[layer].append(tensor.hash)
    stacks = {stack_of(tensor.name) for tensor in plan.tensors if place_of(tensor.name).layer is not None}
    if len(stacks) != 1 or not all(layers.values()):
        return None
    digest = hashlib.sha256("".join(outside).encode())
    hashes = [digest.hexdigest()]
    for layer in range(depth):
        digest.update("".join(layers[layer]).encode())
        hashes.append(digest.hexdigest())
    return hashes


def _stack(model: PreTrainedModel) -> list[torch.nn.Module]:
    """The model's layers, if they are one list and nothing else is as long; none otherwise."""
    depth = getattr(model.config.get_text_config(), "num_hidden_layers", None)
    lists = [module for module in model.modules() if isinstance(module, torch.nn.ModuleList) and len(module) == depth]
    return list(lists[0]) if len(lists) == 1 else []


@contextmanager
def _replaced(
    stack: list[torch.nn.Module], start: int, first: _State | None, wanted: set[int], found: dict[int, _State]
) -> Iterator[None]:
    """For a while, the first `start` layers compute nothing, and the states after the `wanted` ones are found."""

    def replacement(number: int, forward: Callable[..., Any]) -> Callable[..., Any]:
        def passed(hidden_states: Any, *_arguments: Any, **_options: Any) -> Any:
            if number == start and first is not None:
                return first.given()
            assert first is not None
            return (hidden_states,) if first.wrapped else hidden_states

        def noted(*arguments: Any, **options: Any) -> Any:
            given = forward(*arguments, **options)
            state = _state(given)
            if state is not None:
                found[number] = state
            return given

        return passed if number <= start else noted

    changed = [(number, layer) for number, layer in enumerate(stack, 1) if number <= start or number in wanted]
    for number, layer in changed:
        layer.forward = replacement(number, layer.forward)
    try:
        yield
    finally:
        for _, layer in changed:
            del layer.forward  # the class's own again


def _state(given: Any) -> _State | None:
    wrapped = isinstance(given, tuple)
    hidden = given[0] if wrapped and len(given) == 1 else given
    return _State(hidden.clone(), wrapped) if isinstance(hidden, torch.Tensor) else None


@torch.inference_mode()
def _starts_anywhere(model: PreTrainedModel, stack: list[torch.nn.Module], batch: Batch) -> bool | None:
    """Whether logits are the same bit for bit from wherever a pass starts: near either end, and in the middle.

    None if they are not finite, which says nothing.
    """
    if any("forward" in vars(layer) for layer in stack):
        return False  # something else has replaced them
    states: dict[int, _State] = {}
    expected = node_logits(model, batch)
    try:
        with _replaced(stack, 0, None, set(range(1, len(stack) + 1)), states):
            noted = node_logits(model, batch)
        if not expected.isfinite().all():
            return None
        if len(states) != len(stack) or not torch.equal(noted, expected):
            return False
        for start in sorted({1, len(stack) // 2, len(stack) - 1, len(stack)} - {0}):
            with _replaced(stack, start, states[start], set(), {}):
                if not torch.equal(node_logits(model, batch), expected):
                    return False
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, TypeError, ValueError, AttributeError, LookupError):
        return False
    return True
