"""Contract `heterosis.objectives`: a number to maximise or minimise."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from ..estimate import Estimate

if TYPE_CHECKING:
    from ..costs import Costs
    from ..recipe import Recipe

Direction: TypeAlias = Literal["maximize", "minimize"]


@dataclass(frozen=True)
class Measured:
    """What is known of a candidate when objectives are computed.

    Attributes:
        recipe: how it is built.
        costs: bytes, parameters: from the plan, without weights.
        estimates: by task name; only the tasks that the objective was given.
    """

    recipe: Recipe
    costs: Costs
    estimates: Mapping[str, Estimate]


class Objective(ABC):
    """A number for each candidate.

    Attributes:
        share: whether it is a share in [0, 1], such as an accuracy, and has a share's confidence interval.
        uses_tasks: whether it needs the names of tasks.
    """

    name: ClassVar[str]
    unit: ClassVar[str] = ""
    share: ClassVar[bool] = False
    uses_tasks: ClassVar[bool] = False

    @abstractmethod
    def measure(self, measured: Measured) -> Estimate:
        """The value in `unit`, with its standard error (0 where it is exact)."""
