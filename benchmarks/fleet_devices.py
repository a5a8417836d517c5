"""The devices of the simulated fleet: five kinds, and hosts that come and go.

Speeds are ratios of memory bandwidth (360, 1,008, 600, 2,039 and 3,350 GB/s by the vendor's data sheets), which bounds
merging and scoring. Prices in US dollars per hour are assumptions, of the size of what was listed by rental markets
and clouds in 2025 and 2026. So is `volatility`: how often a host of the kind is lost, in multiples of the fleet's mean.
Consumer cards are rented from private owners, who take them back; data-centre cards are rented as spot instances.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

GIGABYTE = 1e9


@dataclass(frozen=True, eq=False)
class Kind:
    """Attributes: `share` of the mixed fleet's hosts; see the module for the others."""

    name: str
    memory_gigabytes: float
    speed: float
    price_per_hour: float
    volatility: float
    share: float


KINDS = (
    Kind("RTX 3060 12GB", 12, 1.0, 0.08, 1.5, 0.30),
    Kind("RTX 4090 24GB", 24, 2.8, 0.35, 1.5, 0.25),
    Kind("A10G 24GB", 24, 1.7, 1.00, 0.4, 0.15),
    Kind("A100 80GB", 80, 5.7, 1.20, 0.4, 0.15),
    Kind("H100 80GB", 80, 9.3, 2.50, 0.4, 0.15),
)
MEMORY_FOR_EVALUATIONS = 0.9
"""The share of a device's memory that evaluations may take."""


@dataclass(frozen=True, eq=False)
class Host:
    """A machine with one device.

    Attributes:
        losses_per_hour: how often it is lost while it is there; nobody knows, the scheduler's figure is an estimate.
        seed: of its life: when it comes, goes, and is slow. The same whatever work it gets.
    """

    number: int
    kind: Kind
    losses_per_hour: float
    seed: tuple[int, ...]

    @property
    def memory_bytes(self) -> int:
        """What evaluations may take."""
        return int(self.kind.memory_gigabytes * GIGABYTE * MEMORY_FOR_EVALUATIONS)


def mixed_fleet(count: int, churn: float, seed: int) -> list[Host]:
    """Hosts of all kinds, lost `churn` times an hour on average; within a kind, exponentially distributed rates."""
    limits = [round(count * share) for share in accumulate(kind.share for kind in KINDS)]
    kinds = [next(kind for kind, limit in zip(KINDS, limits, strict=True) if place < limit) for place in range(count)]
    mean = sum(kind.volatility * kind.share for kind in KINDS)
    own = np.random.default_rng([seed, 1]).exponential(1.0, count)
    return [
        Host(place, kind, churn * kind.volatility / mean * float(own[place]), (seed, 2, place))
        for place, kind in enumerate(kinds)
    ]


def single_kind_fleet(kind: Kind, speed: float, churn: float, seed: int) -> list[Host]:
    """Hosts of one kind that are together at least as fast as `speed`, each lost `churn` times an hour."""
    return [Host(place, kind, churn, (seed, 2, place)) for place in range(int(np.ceil(speed / kind.speed)))]


def spread_fleet(count: int, spread: float, churn: float, seed: int) -> list[Host]:
    """Hosts whose speeds are spread evenly on a logarithmic scale from 1 to `spread`."""
    speeds = np.geomspace(1.0, spread, count)
    return [
        Host(place, Kind(f"speed {speed:.1f}", 80, float(speed), 1.0, 1.0, 1.0 / count), churn, (seed, 2, place))
        for place, speed in enumerate(speeds)
    ]


def total_speed(hosts: Sequence[Host]) -> float:
    """How fast all are together, in devices of speed 1."""
    return sum(host.kind.speed for host in hosts)
