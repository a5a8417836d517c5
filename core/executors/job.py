"""One tensor of a plan, to be computed into a target: as a whole, by rows, or on an accelerator."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from .. import kernels, registry
from ..contracts.merge_method import MergeMethod, MergeParameters, OnePassMethod
from ..errors import MaterialiseError
from ..forms import Form
from ..plan import TensorPlan
from .operands import Operands
from .tensors import ChangedTensor

LARGE = 1 << 20
"""Tensors with more elements are worth more than one thread."""
_STREAMED, _CACHED = 1 << 20, 1 << 17
"""About how many elements are computed at a time: by a kernel that reads what is stored, and where intermediate
results are to stay in the cache."""


class Job:
    """One tensor to be computed into a target."""

    def __init__(self, tensor: TensorPlan, operands: Operands, target: torch.Tensor) -> None:
        (self._step,) = tensor.steps
        self._operands = operands
        self._method: MergeMethod = registry.load("merge_methods", self._step.method)()
        self._begun = False
        self._form: Form | None = None
        self._has_kernel = False
        self.tensor = tensor
        self.target = target

    def begin(self) -> None:
        """Learns what form the merge has, which may take a look at all of its tensors."""
        if self._begun:
            return
        if isinstance(self._method, OnePassMethod) and self._step.dtype.is_floating_point:
            self._form = self._method.form(*self._whole, self._parameters)
        self._has_kernel = self._form is not None and kernels.runs(self._form, self._step.dtype, self.target)
        self._begun = True

    @property
    def is_large(self) -> bool:
        """Whether it is worth more than one thread."""
        return self.target.numel() > LARGE

    @property
    def goes_in_blocks(self) -> bool:
        """Whether parts of the tensor can be merged on their own."""
        self.begin()
        return self._form is not None or self._method.elementwise

    def blocks(self) -> list[tuple[int, int]]:
        """First rows and the ones after the last of parts that are computed one at a time."""
        streamed = self._has_kernel and not any(
            isinstance(self._operands[operand], ChangedTensor) for operand in self._step.sources
        )
        if self.target.device.type != "cpu" or (streamed and not self.is_large):
            return [(0, self._rows)]
        step = max((_STREAMED if streamed else _CACHED) // max(self._columns, 1), 1)
        return [(start, min(start + step, self._rows)) for start in range(0, self._rows, step)]

    def run(self) -> None:
        """Computes all of it."""
        if self.goes_in_blocks:
            for rows in self.blocks():
                self.run_rows(rows)
            return
        base, sources = self._whole
        base = None if base is None else self._cast(base)
        self._put(self._method.merge(base, [self._cast(source) for source in sources], self._parameters), self.target)

    def run_on_device(self) -> torch.Tensor:
        """Computes all of it on the target's device; returns, there, whether it is finite, without waiting for it."""
        self.begin()
        if self._form is None or not self._has_kernel:
            self.run()
            return torch.ones((), dtype=torch.bool, device=self.target.device)
        base, sources = self._whole
        return kernels.run_on_device(self._form, base, list(sources), self.target)

    def fetch(self) -> None:
        """Begins to bring what it needs to where it is computed with."""
        for operand in self._step.sources if self._step.base is None else (self._step.base, *self._step.sources):
            self._operands[operand].fetch()

    def run_rows(self, rows: tuple[int, int]) -> None:
        """Computes rows `rows[0]` to `rows[1]`, the latter not included."""
        first, last = rows[0] * self._columns, rows[1] * self._columns
        target = self.target.view(-1)[first:last]
        base = None if self._step.base is None else self._operands[self._step.base]
        sources = [self._operands[source] for source in self._step.sources]
        if self._form is not None and self._has_kernel and self.target.device.type == "cpu":
            ancestor = None if base is None else base.array(*rows)
            arrays = [source.array(*rows) for source in sources]
            if not kernels.run(self._form, ancestor, arrays, kernels.array(target), first):
                raise self.not_finite()
            return
        origin = None if base is None else self._cast(base.rows(*rows))
        parts = [self._cast(source.rows(*rows)) for source in sources]
        if self._form is None:
            self._put(self._method.merge(origin, parts, self._parameters), target)
        else:
            self._put(self._form.apply(origin, parts, first), target)

    @property
    def _parameters(self) -> MergeParameters:
        step = self._step
        prepared = self._operands.prepared(self._method, step)
        statistics = tuple(self._operands[operand].whole() for operand in step.statistics)
        return MergeParameters(step.per_source, step.shared, step.seed, prepared, statistics)

    @property
    def _whole(self) -> tuple[torch.Tensor | None, Sequence[torch.Tensor]]:
        return self._operands.of(self._step)

    @property
    def _rows(self) -> int:
        return self.target.shape[0] if self.target.dim() else 1

    @property
    def _columns(self) -> int:
        return self.target.numel() // max(self._rows, 1)

    def _cast(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(self.target.device, self._step.dtype)

    def _put(self, merged: torch.Tensor, target: torch.Tensor) -> None:
        if merged.shape != target.shape:
            raise MaterialiseError(
                f"{self.tensor.name}: {self._step.method} gave the shape {list(merged.shape)}, planned was "
                f"{list(target.shape)}"
            )
        final = merged.to(target.dtype)
        if final.is_floating_point() and not _is_finite(final):
            raise self.not_finite()
        target.copy_(final)

    def not_finite(self) -> MaterialiseError:
        """What to raise if a value is not finite."""
        return MaterialiseError(f"{self.tensor.name} has values that are not finite after {self._step.method}")


def _is_finite(tensor: torch.Tensor) -> bool:
    # One pass without a mask: a sum is finite unless an element is not (or the sum overflows, which is told apart).
    return math.isfinite(tensor.sum(dtype=torch.float32).item()) or bool(torch.isfinite(tensor).all())
