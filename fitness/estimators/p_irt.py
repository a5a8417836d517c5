"""Estimator `p_irt`: random items, and a 2PL of one ability that fills in the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ...core.contracts.estimator import Matrix, References, Scores
from ..response_model.logistic import Items
from ..response_model.marginal import fit_marginal
from ..response_model.quadrature import Quadrature
from .fixed_order import FixedOrderEstimator


class PIrt(FixedOrderEstimator):
    """What was observed, and what item response theory expects of the items not asked (p-IRT; Maia Polo et al., 2024).

    The published estimator plugs in the most likely ability; here the expectation is over its posterior (EAP), which
    also holds for candidates that are right or wrong everywhere.

    Args:
        seed: of the order of the items.
    """

    name: ClassVar[str] = "p_irt"
    least_references = 5

    model: Quadrature

    def __init__(self, seed: int = 0, **options: Any) -> None:
        super().__init__(seed, **options)

    def _learn(self, references: References) -> None:
        self.order = np.random.default_rng(self.seed).permutation(references.responses.shape[1])
        self.model = fit_marginal(references.responses, references.importance)

    def predict(self, responses: Matrix) -> Matrix:
        """The response model's expectation, also of items that were asked; see the contract."""
        return self.model.expected(responses)

    def _believe(self, responses: Matrix) -> Scores:
        return self.model.scores(responses, self.references.weights)

    def _state(self) -> Mapping[str, npt.NDArray[Any]]:
        items = self.model.items
        return {
            "order": self.order,
            "loadings": items.loadings,
            "intercepts": items.intercepts,
            "abilities": self.model.abilities,
            "log_prior": self.model.log_prior,
        }

    def _restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        self.order = state["order"]
        self.model = Quadrature(Items(state["loadings"], state["intercepts"]), state["abilities"], state["log_prior"])
