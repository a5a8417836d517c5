"""How often a worker is lost: from its host's record, where that is short from its device type's, else a guess."""

from __future__ import annotations

from dataclasses import dataclass

GUESSED_PER_HOUR = 0.05
"""What is expected where nothing is known: once in 20 hours."""
GUESS_HOURS = 20.0
"""The guess counts as so many hours of record; a device type's figure counts as many for each of its hosts."""


@dataclass(frozen=True)
class Record:
    """Attributes: `losses`, how many workers fell silent, and `hours`, how long workers were alive, those included."""

    losses: float = 0.0
    hours: float = 0.0


def losses_per_hour(host: Record, device_type: Record) -> float:
    """The expected rate at which workers of a host are lost, > 0.

    Losses that come at random at a rate which is itself drawn from a gamma distribution (conjugate to Poisson's): the
    posterior mean is (prior losses + losses) / (prior hours + hours). The guess is the device type's prior, and the
    type's figure the host's. Workers that ended as they were told to are no losses.

    >>> round(losses_per_hour(Record(), Record()), 3)
    0.05
    >>> round(losses_per_hour(Record(losses=4, hours=20), Record(losses=8, hours=380)), 3)
    0.111
    """
    of_type = _posterior(device_type, GUESSED_PER_HOUR)
    return _posterior(host, of_type)


def _posterior(record: Record, guess: float) -> float:
    return (guess * GUESS_HOURS + record.losses) / (GUESS_HOURS + record.hours)
