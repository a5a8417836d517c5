"""Expected a posteriori (EAP) over a finite set of abilities: what a model's few responses say about all items.

The posterior is over nodes, so that every expectation is a sum: nothing is plugged in, all-right and all-wrong
responses included (Bock and Mislevy, 1982).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...core.contracts.estimator import Matrix, Scores
from .logistic import Items, sigmoid, softplus


@dataclass(frozen=True)
class Quadrature:
    """Items, and the abilities that a model may have.

    Attributes:
        items: their parameters.
        abilities: shape (nodes, dimensions).
        log_prior: shape (nodes,): the logarithm of how likely each is before any response, up to a constant.
    """

    items: Items
    abilities: Matrix
    log_prior: Matrix

    @cached_property
    def _logits(self) -> Matrix:
        return self.items.logits(self.abilities)

    @cached_property
    def chances(self) -> Matrix:
        """Shape (nodes, items): the probability of a right answer."""
        return sigmoid(self._logits)

    @cached_property
    def _log_wrong(self) -> Matrix:
        return -softplus(self._logits)

    def posterior(self, responses: Matrix) -> Matrix:
        """Shape (models, nodes), rows sum to 1.

        Args:
            responses: shape (models, items), in [0, 1]; NaN where not asked. One between 0 and 1 counts as that share
                of a right answer and the rest of a wrong one.
        """
        asked = np.isfinite(responses)
        log = np.where(asked, responses, 0.0) @ self._logits.T
        log += asked.astype(np.float64) @ self._log_wrong.T
        log += self.log_prior
        log -= log.max(axis=1, keepdims=True)
        likely = np.exp(log, out=log)
        likely /= likely.sum(axis=1, keepdims=True)
        return likely

    def ability(self, responses: Matrix) -> Matrix:
        """Shape (models, dimensions): the posterior means."""
        return self.posterior(responses) @ self.abilities

    def expected(self, responses: Matrix) -> Matrix:
        """Shape (models, items): the posterior mean of the probability of a right answer, asked or not."""
        return self.posterior(responses) @ self.chances

    def scores(self, responses: Matrix, weights: Matrix) -> Scores:
        """p-IRT (Maia Polo et al., 2024): what was observed, and what is expected of the rest.

        The standard error has two parts: the ability's posterior, and the chance in each answer that was not asked for.

        Args:
            responses: see `posterior`.
            weights: shape (items,), sum 1.
        """
        asked = np.isfinite(responses)
        likely = self.posterior(responses)
        rest = (~asked).astype(np.float64)
        ahead = rest @ (weights * self.chances).T
        mean = np.einsum("mq,mq->m", likely, ahead)
        chance = rest @ (weights**2 * self.chances * (1.0 - self.chances)).T
        variance = np.einsum("mq,mq->m", likely, (ahead - mean[:, None]) ** 2 + chance)
        return Scores(np.where(asked, responses, 0.0) @ weights + mean, np.sqrt(variance))
