"""What a worker is told when it is started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from ..storage.queue import LEASE_SECONDS
from .memory_classes import classes_for
from .schedulers.by_name import DEFAULT

Kind: TypeAlias = Literal["processes", "celery"]


@dataclass(frozen=True)
class WorkerSettings:
    """Attributes:
    kind: the executor that it works for.
    device: for PyTorch; `device_type` is what it is called where prices and speeds are compared.
    memory_bytes: device memory that evaluations may take.
    studies: ids of those that it works for; None: all of its database.
    lease_seconds: after so long a silence others take over what it does.
    limit_seconds: an evaluation that takes longer is ended; None: no limit.
    host_limit_bytes: the evaluating process is ended when it takes more of the host's memory; None: no limit.
    roots: folders that checkpoints and items must lie in; empty: anywhere.
    folders: where the folders of studies are on this machine, by what they are called in the database.
    cores: that the evaluating process stays on; None: any.
    """

    kind: Kind
    device: str
    device_type: str
    memory_bytes: int
    studies: tuple[str, ...] | None = None
    lease_seconds: float = LEASE_SECONDS
    limit_seconds: float | None = None
    host_limit_bytes: int | None = None
    scheduler: str = DEFAULT
    scheduler_options: Mapping[str, Any] = field(default_factory=dict)
    price_per_hour: float = 0.0
    roots: tuple[Path, ...] = ()
    folders: Mapping[str, str] = field(default_factory=dict)
    cores: tuple[int, ...] | None = None
    canary_every: int = 100

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> WorkerSettings:
        """Reads what `to_json` wrote."""
        found = dict(content)
        found["roots"] = tuple(Path(root) for root in found["roots"])
        found["studies"] = None if found["studies"] is None else tuple(found["studies"])
        found["cores"] = None if found["cores"] is None else tuple(found["cores"])
        return cls(**found)

    def to_json(self) -> dict[str, Any]:
        """JSON-ready content that `from_json` reads back."""
        return {**asdict(self), "roots": [str(root) for root in self.roots]}

    @property
    def queues(self) -> tuple[str, ...]:
        """The memory classes that it takes."""
        return classes_for(self.memory_bytes)

    @property
    def described(self) -> dict[str, Any]:
        """The device, for the table of workers."""
        return {
            "name": self.device,
            "type": self.device_type,
            "memory_bytes": self.memory_bytes,
            "price_per_hour": self.price_per_hour,
        }
