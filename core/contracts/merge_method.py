"""Contract `heterosis.merge_methods`: how several tensors become one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch

from ..forms import Form


@dataclass(frozen=True)
class ParameterSpec:
    """A parameter that a merge method asks for.

    Attributes:
        name: as in mergekit's YAML, for example `weight` or `density`.
        scope: `source` if every source has its own value, `shared` if there is one per tensor.
        default: used where the recipe gives no value; None means that the recipe must give one.
        search: the range a gene takes if the user asks for none, or None if it is only searched on request.
        low, high: the values that make sense; a recipe outside is refused.
    """

    name: str
    scope: Literal["source", "shared"]
    default: float | bool | None = None
    search: tuple[float, float] | None = None
    low: float = float("-inf")
    high: float = float("inf")


@dataclass(frozen=True)
class MergeParameters:
    """The values for one tensor.

    Attributes:
        per_source: for each parameter of scope `source`, a value for each source in order.
        shared: for each parameter of scope `shared`, its value.
        seed: in [0, 2^32), this tensor's own; a random method draws from it alone.
        prepared: what the method's `prepare` gave for these very tensors, or None if nobody asked it.
        statistics: for each source, this tensor's statistics of the kind `needs_statistics`; empty if it has none.
    """

    per_source: Mapping[str, tuple[float, ...]]
    shared: Mapping[str, float | bool]
    seed: int = 0
    prepared: Any = None
    statistics: tuple[torch.Tensor, ...] = ()


class MergeMethod(ABC):
    """Merges one tensor at a time, purely: same inputs, same output; inputs are left as they are.

    `base_required` says whether task vectors are taken from a base, `base_optional` whether they are if the recipe
    names one; `source_count` how many sources are allowed (least and most; None for no limit), the base not counted;
    `keeps_base` promises that sources which all equal the base give the base, bit for bit (so that such tensors need
    not be computed); `needs_statistics` names the kind of statistics of each source that it works with, if any.
    """

    name: ClassVar[str]
    parameters: ClassVar[tuple[ParameterSpec, ...]] = ()
    base_required: ClassVar[bool] = True
    base_optional: ClassVar[bool] = False
    source_count: ClassVar[tuple[int, int | None]] = (1, None)
    keeps_base: ClassVar[bool] = False
    elementwise: ClassVar[bool] = False
    needs_statistics: ClassVar[str | None] = None
    paper: ClassVar[str] = ""

    def prepare(self, base: torch.Tensor | None, sources: Sequence[torch.Tensor]) -> Any:
        """What `merge` needs to know of these tensors whatever the parameters (norms, inner products, thresholds).

        An executor that merges the same tensors again and again calls it once and hands the result back as
        `parameters.prepared`; `merge` must give the same without it. It should be much smaller than the tensors.

        Args:
            base, sources: as for `merge`, but their dtypes may differ: each is that of the arithmetic, or a part of it
                (bfloat16 of float32, for example).
        """
        return None

    @abstractmethod
    def merge(
        self, base: torch.Tensor | None, sources: Sequence[torch.Tensor], parameters: MergeParameters
    ) -> torch.Tensor:
        """Merges tensors of one shape, dtype (floating point) and device.

        Args:
            base: the common ancestor's tensor, or None where `base_required` is false and there is none.
            sources: at least `source_count[0]` tensors, in the recipe's order.
            parameters: a value for every declared parameter.

        Returns:
            A tensor of the same shape, dtype and device, sharing no memory with the inputs that a caller may change.
        """


class OnePassMethod(MergeMethod):
    """A merge method that comes down to a form (core/forms.py) as soon as its parameters are known.

    Executors run forms in one pass of the data, on all cores, several times faster than torch's own operations.
    `reads_weights` false promises that the form follows from the parameters alone: `form(None, (), parameters)` tells
    it to those who have no tensors at hand.
    """

    reads_weights: ClassVar[bool] = True

    @abstractmethod
    def form(
        self, base: torch.Tensor | None, sources: Sequence[torch.Tensor], parameters: MergeParameters
    ) -> Form | None:
        """The form of this merge, or None if with these parameters there is none (then `merge` is called, of its own).

        Args:
            base, sources: as for `prepare`; what is reduced over them (norms, thresholds) is to be taken in float32
                at least. Looking at a tensor may cost a pass over it, so a method that knows enough from
                `parameters` should not.
        """

    def merge(
        self, base: torch.Tensor | None, sources: Sequence[torch.Tensor], parameters: MergeParameters
    ) -> torch.Tensor:
        """The form, applied."""
        form = self.form(base, sources, parameters)
        assert form is not None, f"{self.name} has neither a form for {parameters} nor a `merge` of its own"
        return form.apply(base, sources)
