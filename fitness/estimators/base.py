"""What the built-in estimators share: checks, and intervals that are calibrated on held-out references."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ...core.contracts.estimator import Estimator, Matrix, References, Scores
from ...core.errors import ConfigurationError
from .held_out import held_out
from .intervals import Calibration


class CalibratedEstimator(Estimator):
    """An estimator that says how it learns (`_learn`) and what it believes (`_believe`).

    Its standard errors are then made honest: they are multiplied by what held-out references show them to be short of.

    Attributes:
        references: what it was fitted to.
    """

    references: References
    calibration: Calibration

    def fit(self, references: References) -> None:
        """Learns from models that have answered; see the contract."""
        self.fit_uncalibrated(references)
        self.calibration = Calibration.of(held_out(self, references))

    def fit_uncalibrated(self, references: References) -> None:
        """`fit`, with standard errors as the model has them."""
        complete = int(references.complete.sum())
        if complete < self.least_references:
            raise ConfigurationError(
                f"the estimator {self.name!r} needs {self.least_references} models that have answered every item; "
                f"there are {complete}. Use `auto`, which starts without any"
            )
        self.references = references
        self.calibration = Calibration.constant()
        self._learn(references)

    def estimate(self, responses: Matrix) -> Scores:
        """Scores on all items; see the contract."""
        believed = self._believe(responses)
        asked = np.isfinite(responses)
        mean = np.where(asked.all(axis=1), np.where(asked, responses, 0.0) @ self.references.weights, believed.mean)
        mean = np.clip(mean, 0.0, 1.0)
        wider = self.calibration.factor(asked.sum(axis=1), mean)
        error = np.where(asked.all(axis=1), 0.0, believed.standard_error * wider)
        return Scores(mean, error)

    @abstractmethod
    def _learn(self, references: References) -> None:
        """Learns from at least `least_references` complete rows; incomplete rows may be used or left."""

    @abstractmethod
    def _believe(self, responses: Matrix) -> Scores:
        """Scores and standard errors as the model has them, before calibration."""

    def state(self) -> Mapping[str, npt.NDArray[Any]]:
        """What was learned, as arrays; see the contract."""
        kept = {"weights": self.references.weights, "strata": self.references.strata}
        own = {f"model.{name}": value for name, value in self._state().items()}
        return {**kept, **own, **{f"calibration.{name}": value for name, value in self.calibration.state().items()}}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Takes over what `state` gave; see the contract."""
        items = len(state["weights"])
        self.references = References(np.empty((0, items)), state["weights"], state["strata"])
        self._restore(_part(state, "model."))
        self.calibration = Calibration.restored(_part(state, "calibration."))

    @abstractmethod
    def _state(self) -> Mapping[str, npt.NDArray[Any]]:
        """What `_learn` found, as arrays."""

    @abstractmethod
    def _restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Takes over what `_state` gave; `references` has weights and strata, but no rows."""


def _part(state: Mapping[str, npt.NDArray[Any]], prefix: str) -> dict[str, npt.NDArray[Any]]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
