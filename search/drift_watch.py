"""Watches for drift: whether random items come out as the estimates foresee, ask by ask, until something is learned."""

from __future__ import annotations

import math

from ..fitness.drift import ALARM, Drift, drift_of
from ..fitness.racing import Race
from ..storage import Store

EVENT = "fitness.drift"
_LEAST_VARIANCE = 0.25


class DriftWatch:
    """Notes each race's random items in the journal, and pools what came since estimates were last learned anew."""

    def __init__(self, study_id: str, store: Store) -> None:
        self._study_id = study_id
        self._store = store
        self._since: list[int] = []

    def note(self, ask_no: int, race: Race) -> None:
        """Writes down how far the random items of a race are from what was foreseen; the first time counts."""
        off = variance = 0.0
        answers = 0
        for task, part in race.panel.parts.items():
            found = drift_of(race.panel.estimators[task], race.responses[:, part], race.random[:, part])
            off += found.difference * found.answers
            variance += found.variance
            answers += found.answers
        payload = {"difference": off, "variance": variance, "answers": answers}
        self._store.events.note(self._study_id, EVENT, str(ask_no), payload)

    def alarm(self, ask_no: int) -> bool:
        """Whether, since `learned`, random items were further off than chance allows; called once for each ask."""
        self._since.append(ask_no)
        noted = {int(event.subject_id): event.payload for event in self._store.events.of_type(self._study_id, EVENT)}
        found = [noted[ask] for ask in self._since if ask in noted]
        difference = math.fsum(payload["difference"] for payload in found)
        variance = max(math.fsum(payload["variance"] for payload in found), _LEAST_VARIANCE)
        return abs(difference) / math.sqrt(variance) > ALARM

    def learned(self) -> None:
        """From now on the estimates are others."""
        self._since = []


def drift_so_far(store: Store, study_id: str) -> Drift | None:
    """All that was noted of a study's random items, as one; None if there were none."""
    noted = [event.payload for event in store.events.of_type(study_id, EVENT)]
    answers = sum(payload["answers"] for payload in noted)
    if not answers:
        return None
    off = math.fsum(payload["difference"] for payload in noted)
    variance = math.fsum(payload["variance"] for payload in noted)
    return Drift(off / answers, off / math.sqrt(max(variance, _LEAST_VARIANCE)), answers, variance)
