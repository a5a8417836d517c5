"""Estimator `average`: the mean of what several estimators say of the same responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ...core import registry
from ...core.contracts.estimator import Matrix, Places, References, Scores
from ...core.errors import ConfigurationError
from .base import CalibratedEstimator


class Average(CalibratedEstimator):
    """The plain mean of estimators that err in different ways, on the items that the first one asks.

    The standard error is the mean of theirs, as if all erred the same way, and grows with their disagreement.

    Args:
        estimators: names of built-in ones, or mappings of name and options: {"name": "c_optimal", "dimensions": 2}.

    Raises:
        ConfigurationError: there are none, or one has no uncalibrated form.
    """

    name: ClassVar[str] = "average"

    def __init__(self, seed: int = 0, estimators: Sequence[str | Mapping[str, Any]] = ("blup", "p_irt")) -> None:
        super().__init__(seed, estimators=list(estimators))
        self.members = tuple(_member(described, seed) for described in estimators)
        if not self.members:
            raise ConfigurationError("an average needs estimators: name at least one")
        # of this one, not of all averages
        self.adaptive = self.members[0].adaptive
        self.least_references = max(member.least_references for member in self.members)

    def _learn(self, references: References) -> None:
        for member in self.members:
            member.fit_uncalibrated(references)

    def next_items(self, responses: Matrix, count: int) -> Places:
        """The first one's; see the contract."""
        return self.members[0].next_items(responses, count)

    def predict(self, responses: Matrix) -> Matrix:
        """The mean of their predictions; see the contract."""
        found: Matrix = np.mean([member.predict(responses) for member in self.members], axis=0)
        return found

    def _believe(self, responses: Matrix) -> Scores:
        found = [member.estimate(responses) for member in self.members]
        means = np.array([scores.mean for scores in found])
        error = np.mean([scores.standard_error for scores in found], axis=0)
        return Scores(means.mean(axis=0), np.sqrt(error**2 + means.var(axis=0)))

    def _state(self) -> Mapping[str, npt.NDArray[Any]]:
        return {
            f"{place}.{key}": value
            for place, member in enumerate(self.members)
            for key, value in member.state().items()
        }

    def _restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        for place, member in enumerate(self.members):
            start = f"{place}."
            member.restore({key.removeprefix(start): state[key] for key in state if key.startswith(start)})


def _member(described: str | Mapping[str, Any], seed: int) -> CalibratedEstimator:
    options = {"name": described} if isinstance(described, str) else dict(described)
    found = registry.load("estimators", options.pop("name"))
    if not issubclass(found, CalibratedEstimator):
        raise ConfigurationError(f"the estimator {found.name!r} calibrates itself; an average is of built-in ones")
    return found(seed=seed, **options)
