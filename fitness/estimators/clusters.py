"""k-means on item vectors around items that are already chosen: which further items stand for the others."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from ...core.contracts.estimator import Matrix, Places

RESTARTS = 5
ROUNDS = 100


class Clustering:
    """Items as weighted points.

    Args:
        vectors: shape (items, features).
        weights: shape (items,), positive.
    """

    def __init__(self, vectors: Matrix, weights: Matrix) -> None:
        self.vectors = np.ascontiguousarray(vectors)
        self.weights = weights
        self._sizes = np.einsum("if,if->i", vectors, vectors)

    def distances(self, centres: Matrix) -> Matrix:
        """Shape (items, centres): squared Euclidean distances; what is left of rounding is 0."""
        apart: Matrix = -2.0 * (self.vectors @ centres.T)
        apart += np.einsum("cf,cf->c", centres, centres)
        apart += self._sizes[:, None]
        apart[apart < 1e-9 * (1.0 + self._sizes[:, None])] = 0.0
        return apart

    def anchors(self, chosen: Places, count: int, lots: np.random.Generator) -> Places:
        """Finds clusters of the items that no chosen item stands for better, and the item nearest to each centre.

        Lloyd's algorithm (1982) from greedy k-means++ starts (Arthur and Vassilvitskii, 2007), of which the one with
        the least inertia is kept; the chosen items are centres that do not move. With none chosen this is k-means.

        Args:
            chosen: items that are centres already.
            count: of the clusters; fewer where not so many items are left.
            lots: where the starts come from.

        Returns:
            Shape (count,): items that are not chosen, those that stand for the most weight first.
        """
        free = np.setdiff1d(np.arange(len(self.vectors)), chosen)
        if count == 0 or count >= len(free):
            return free[np.argsort(-self.weights[free], kind="stable")][:count]
        held = self.distances(self.vectors[chosen]).min(axis=1, initial=np.inf)
        held[chosen] = 0.0
        runs = [self._lloyd(held, self._start(held, count, lots)) for _ in range(RESTARTS)]
        centres, _ = min(runs, key=lambda run: run[1])
        return self._nearest_items(held, centres, free)

    def _start(self, held: Matrix, count: int, lots: np.random.Generator) -> Matrix:
        """Items drawn one by one, in proportion to their squared distance; of a few draws the one that helps most."""
        far = held
        drawn = np.empty(count, np.intp)
        draws = 2 + int(np.log(count))
        for place in range(count):
            share = self.weights * np.where(np.isfinite(far), far, 1.0)
            if share.sum() == 0.0:  # only copies of what is there are left
                share = self.weights
            tried = lots.choice(len(share), draws, p=share / share.sum())
            nearer = np.minimum(far[:, None], self.distances(self.vectors[tried]))
            best = int((self.weights @ nearer).argmin())
            drawn[place], far = tried[best], nearer[:, best]
        return self.vectors[drawn]

    def _lloyd(self, held: Matrix, centres: Matrix) -> tuple[Matrix, float]:
        """The centres where none moves any more, and the inertia."""
        places = np.arange(len(self.vectors))
        owner = np.full(len(places), -1)
        for _ in range(ROUNDS):
            apart = self.distances(centres)
            nearest = apart.argmin(axis=1)
            least = apart[places, nearest]
            before, owner = owner, np.where(least < held, nearest, -1)
            if np.array_equal(owner, before):
                break
            own = np.flatnonzero(owner >= 0)
            members = csr_array((self.weights[own], (owner[own], own)), shape=(len(centres), len(places)))
            total = members.sum(axis=1)
            filled = total > 0
            centres = centres.copy()
            centres[filled] = (members @ self.vectors)[filled] / total[filled, None]
        return centres, float(self.weights @ np.minimum(least, held))

    def _nearest_items(self, held: Matrix, centres: Matrix, free: Places) -> Places:
        """One free item for each centre, the heaviest cluster first."""
        apart = self.distances(centres)
        least = apart.min(axis=1)
        sizes = self.weights @ ((apart == least[:, None]) & (least < held)[:, None])
        left = apart[free]
        found = np.empty(len(centres), np.intp)
        for place, centre in enumerate(np.argsort(-sizes, kind="stable")):
            nearest = int(left[:, centre].argmin())
            found[place] = free[nearest]
            left[nearest] = np.inf
        return found
