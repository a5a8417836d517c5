"""Contract `heterosis.objectives`: a number to maximise or minimise."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from ..estimate import Estimate

if TYPE_CHECKING:
    import torch

    from ..costs import Costs
    from ..recipe import Recipe

Direction: TypeAlias = Literal["maximize", "minimize"]


def _no_tensors() -> Iterator[torch.Tensor]:
    return iter(())


@dataclass(frozen=True)
class Measured:
    """What is known of a candidate when objectives are computed.

    Attributes:
        recipe: how it is built.
        costs: bytes, parameters: from the plan, without weights.
        estimates: by task name; only the tasks that the objective was given.
        engine: what was measured of it in the engine of the study's target: `prefill_ms` (milliseconds), `decode_speed`
            (tokens per second) and `memory` (bytes); empty unless the objective `uses_engine`.
        tensors: gives the model's tensors, one after the other, as they are stored (a tied one once; quantised ones
            dequantised). They are merged anew at each call, which takes as long as that does.
    """

    recipe: Recipe
    costs: Costs
    estimates: Mapping[str, Estimate]
    engine: Mapping[str, Estimate] = field(default_factory=dict)
    tensors: Callable[[], Iterator[torch.Tensor]] = _no_tensors


class Objective(ABC):
    """A number for each candidate.

    Attributes:
        share: whether it is a share in [0, 1], such as an accuracy, and has a share's confidence interval.
        uses_tasks: whether it needs the names of tasks.
        uses_engine: whether it needs the candidate to be exported and run for it, in a process of its own.
    """

    name: ClassVar[str]
    unit: ClassVar[str] = ""
    share: ClassVar[bool] = False
    uses_tasks: ClassVar[bool] = False
    uses_engine: ClassVar[bool] = False

    @abstractmethod
    def measure(self, measured: Measured) -> Estimate:
        """The value in `unit`, with its standard error (0 where it is exact)."""
