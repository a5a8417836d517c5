"""Estimators `mp_irt` and `gmp_irt`: a merged model's ability is a mixture of its sources' abilities."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ...core.contracts.estimator import Matrix, References
from ...core.errors import ConfigurationError
from ..response_model.quadrature import Quadrature
from .gp_irt import GpIrt
from .p_irt import PIrt

POINTS = 512


class MpIrt(PIrt):
    """p-IRT where the ability is sum_j m_j theta_j, a mixture of the sources' (MERGE3; Mencattini et al., 2025).

    The weights m are on the simplex and have the prior Dirichlet(concentration), whose mean is the equal mixture; the
    score is the mean over their posterior. Published is the unconstrained maximum, which few answers do not hold.
    The sources' abilities are the means over the posterior, from all that they have answered.
    A merge that is better than all its sources is estimated to be as good as the best of them.

    The integral is a sum over points of the simplex: draws from the prior, and the corners.

    Args:
        seed: of the order of the items and of the draws.
        concentration: positive. 1: all weights are equally likely; more: nearer to equal ones.

    Raises:
        ConfigurationError: `concentration` is not positive.
    """

    name: ClassVar[str] = "mp_irt"

    def __init__(self, seed: int = 0, concentration: float = 1.0) -> None:
        super().__init__(seed, concentration=concentration)
        if not concentration > 0:
            raise ConfigurationError(f"concentration is {concentration}; it must be positive")
        self.concentration = concentration

    def _learn(self, references: References) -> None:
        if len(references.sources) < 2:
            raise ConfigurationError(
                f"the estimator {self.name!r} needs two sources or more; the references name "
                f"{len(references.sources)}. Use `gp_irt`, which needs none"
            )
        super()._learn(references)
        own = self.model.ability(references.responses[list(references.sources)])
        mixtures = _mixtures(len(own), self.concentration, self.seed)
        self.model = Quadrature(self.model.items, mixtures @ own, np.zeros(len(mixtures)))


class GmpIrt(GpIrt):
    """`gp_irt` with `mp_irt` in the place of p-IRT (MERGE3; Mencattini et al., 2025).

    lambda is that of `gp_irt`: how far the items are from a model of one ability, which references of any kind show.

    Args:
        seed, items, share: see `GpIrt`. Published is a `share` of 0.5.
        concentration: see `MpIrt`.
    """

    name: ClassVar[str] = "gmp_irt"

    def __init__(
        self, seed: int = 0, items: str = "anchors", share: float | None = None, concentration: float = 1.0
    ) -> None:
        self.concentration = concentration
        super().__init__(seed, items, share, concentration=concentration)

    def _response_model(self) -> PIrt:
        return MpIrt(self.seed, self.concentration)


def _mixtures(sources: int, concentration: float, seed: int) -> Matrix:
    """Shape (points, sources): rows sum to 1."""
    drawn = np.random.default_rng(seed).dirichlet(np.full(sources, concentration), POINTS)
    return np.concatenate([drawn, np.eye(sources)])
