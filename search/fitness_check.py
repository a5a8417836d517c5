"""Checks a search's estimates: lets the last generation answer every item, beside the search and unknown to it."""

from __future__ import annotations

from collections.abc import Callable

from ..storage import Store
from .estimated_scoring import EstimatedScoring
from .fitness_report import last_generation
from .progress import ignored


def check_generation(
    study_id: str, store: Store, scoring: EstimatedScoring, checked: Callable[[int, int], None]
) -> None:
    """Asks the candidates of the last generation what they were not asked, one by one, and records their answers.

    The search does not look at these answers, and goes on as it would have; who is to answer more of these items for it
    later has only to look them up.

    Args:
        checked: called with how many candidates have answered everything, and how many there are.
    """
    generation = [candidate for candidate, _ in last_generation(store.asks.all(study_id))]
    for done, candidate in enumerate(generation):
        checked(done, len(generation))
        # alone, as an elite is asked: in company, rounding might give it other answers
        scoring.check(candidate, ignored)
    checked(len(generation), len(generation))
