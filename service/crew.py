"""Who evaluates a study: this process, processes of this machine, or a fleet; as chosen on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from ..core.errors import ConfigurationError

if TYPE_CHECKING:
    from ..core.study_spec import StudySpec

LOCAL, PROCESSES, CELERY = "local", "processes", "celery"

Workers: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Who evaluates: `local` (this process), `processes` (one process for each device of this machine; they "
        "may crash without loss), or `celery` (workers that `heterosis worker` started, on any machine).",
    ),
]
Each: TypeAlias = Annotated[
    int, typer.Option(metavar="N", min=1, help="So many workers share a device, for small models on a big one.")
]
Priority: TypeAlias = Annotated[
    int, typer.Option(metavar="N", help="Of two studies on one fleet, that of the higher number comes first.")
]


@dataclass(frozen=True)
class Crew:
    """Attributes:
    workers: the executor plugin; `options` are its own.
    words: what to type to choose it again.
    where: in words, for people.
    device: of what this process computes itself.
    """

    workers: str
    device: str
    where: str
    options: Mapping[str, Any] = field(default_factory=dict)
    words: tuple[str, ...] = ()


def chosen_crew(workers: str, device: str, each: int, broker: str | None, priority: int) -> Crew:
    """What was chosen, checked as far as it can be without starting anything.

    Raises:
        ConfigurationError: the options do not go together.
        PluginError: there is no such executor (with the nearest).
    """
    from ..core import registry
    from .device import chosen_device
    from .secrets import Url

    registry.load("executors", workers)
    said: tuple[str, ...] = () if workers == LOCAL else ("--workers", workers)
    said += ("--priority", str(priority)) if priority else ()
    if workers != PROCESSES and each != 1:
        raise ConfigurationError(
            f"--each {each} is for --workers {PROCESSES}; for a fleet, give it to `heterosis worker`"
        )
    if workers == LOCAL:
        if priority:
            raise ConfigurationError("--priority is for a fleet (--workers celery or processes)")
        found = chosen_device(device)
        return Crew(workers, found, found)
    if workers == PROCESSES:
        devices = "all" if device == "auto" else device
        said += ("--device", device) if device != "auto" else ()
        said += ("--each", str(each)) if each != 1 else ()
        options = {"devices": devices, "each": each, "priority": priority}
        return Crew(workers, "cpu", _processes(devices, each), options, said)
    if workers == CELERY:
        from ..workers.broker import broker_of

        said += ("--broker", broker.typed) if isinstance(broker, Url) and broker.typed else ()
        where = f"workers of {broker_of(broker).where}"
        return Crew(workers, "cpu", where, {"broker": broker, "priority": priority}, said)
    return Crew(workers, "cpu", f"the executor {workers}", {}, said)


def fed_steadily(spec: StudySpec, workers: str) -> StudySpec:
    """The study as it is searched by these workers: a fleet is fed as results arrive, unless it was said otherwise.

    Where candidates race (estimated fitness) or are screened, and for optimizers that take whole generations only, they
    take turns.
    """
    from dataclasses import replace

    from ..core import registry
    from ..core.contracts import Optimizer

    if workers == LOCAL or spec.steady_state is not None or spec.fitness or spec.screen:
        return spec
    steady = registry.load("optimizers", spec.optimizer).steady_state is not Optimizer.steady_state
    return replace(spec, steady_state=True) if steady else spec


def _processes(devices: str, each: int) -> str:
    which = "all devices of this machine" if devices == "all" else devices
    return f"processes on {which}" + (f", {each} on each" if each != 1 else "")
