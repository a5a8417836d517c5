"""`heterosis worker`: evaluates for the studies of a database, on the devices of this machine."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.errors import ConfigurationError
from .crew import Each
from .options import BROKER_VARIABLE, DEFAULT_STORAGE, STORAGE_VARIABLE, Broker, Storage

if TYPE_CHECKING:
    from ..workers.process import Told

FIRST_COME = "first_come"


def worker(
    storage: Storage = DEFAULT_STORAGE,
    broker: Broker = None,
    devices: Annotated[
        str,
        typer.Option(
            "--devices",
            "--device",
            metavar="NAMES",
            help="Separated by commas: cuda:0, cuda:1, cpu...; `all`: every accelerator, or else the CPU.",
        ),
    ] = "all",
    each: Each = 1,
    root: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            show_default=False,
            help="Studies may only name files in this folder (may be repeated; or HETEROSIS_ROOTS). Without: anywhere.",
        ),
    ] = None,
    folder: Annotated[
        list[str] | None,
        typer.Option(
            metavar="THERE=HERE",
            show_default=False,
            help="Where a study's folder THERE is on this machine, if it is elsewhere (may be repeated).",
        ),
    ] = None,
    scheduler: Annotated[
        str, typer.Option(metavar="NAME", help="How it chooses among what waits; see `heterosis plugins`.")
    ] = FIRST_COME,
    price: Annotated[
        float, typer.Option(metavar="AMOUNT", min=0.0, help="What an hour of this device costs, for `cost_aware`.")
    ] = 0.0,
    lease: Annotated[
        float, typer.Option(metavar="SECONDS", min=1.0, help="After so long a silence, others take over its work.")
    ] = 60.0,
    limit: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", min=1.0, show_default="none", help="An evaluation may not take longer."),
    ] = None,
    memory: Annotated[
        float | None,
        typer.Option(metavar="GB", min=0.1, show_default="none", help="Nor take more of the host's memory."),
    ] = None,
    grace: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=0.0, help="When asked to end, what runs may take so long to finish."),
    ] = 30.0,
    name: Annotated[
        str,
        typer.Option(metavar="NAME", show_default="worker", help="Of this worker, unlike any other's on this host."),
    ] = "worker",
    metrics_port: Annotated[
        int, typer.Option(metavar="PORT", min=0, help="Serve Prometheus metrics here; further devices on the next.")
    ] = 0,
    metrics_host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where metrics are served.")] = "127.0.0.1",
    log_format: Annotated[str, typer.Option(metavar="text|json", help="How it logs, on stderr.")] = "text",
) -> None:
    """Evaluate for the studies of a database, until asked to end.

    One process for each device, started again should it crash. Each takes what suits it of what waits, has a process of
    its own compute it, and writes the result to the database; it may be ended or lost at any time without loss.

    With a broker it is woken as soon as there is work; without, it looks into the database once a second. Give URLs
    with passwords through HETEROSIS_STORAGE and HETEROSIS_BROKER, or as @FILE.

    Ctrl-C or SIGTERM: nothing more is taken, and what runs is finished within the grace or handed back.

    Examples:

        heterosis worker --storage postgresql://me@db/heterosis --broker redis://db:6379/0

        heterosis worker --device cuda:0 --each 4 --root /models --metrics-port 9100
    """
    from ..workers import logs
    from ..workers.devices import devices_apart
    from ..workers.keeper import Keeper
    from ..workers.process import Told
    from ..workers.roots import configured_roots, folder_mapping
    from ..workers.schedulers.by_name import make
    from ..workers.settings import WorkerSettings

    if log_format not in ("text", "json"):
        raise ConfigurationError(f"--log-format is {log_format!r}; it is text or json")
    make(scheduler)
    environment = _addresses(storage, broker)
    roots, folders = configured_roots(root or ()), folder_mapping(folder or ())
    told = [
        Told(
            WorkerSettings(
                kind="celery" if broker else "processes",
                device=part.name,
                device_type=part.type,
                memory_bytes=part.memory_bytes,
                cores=part.cores,
                lease_seconds=lease,
                limit_seconds=limit,
                host_limit_bytes=None if memory is None else int(memory * 1e9),
                scheduler=scheduler,
                price_per_hour=price,
                roots=roots,
                folders=folders,
            ),
            f"{name}-{number}" if number else name,
            log_format,  # type: ignore[arg-type]
            metrics_port + number if metrics_port else 0,
            metrics_host,
            grace,
        )
        for number, part in enumerate(devices_apart(devices, each))
    ]
    logs.set_up(log_format, worker=name)  # type: ignore[arg-type]
    _keep(Keeper(told, environment), told)


def _addresses(storage: str, broker: str | None) -> dict[str, str]:
    """Opens the database, which makes it or says what is wrong with it, before any process is started."""
    from ..storage import Store

    with Store.open(storage) as store:
        found = {STORAGE_VARIABLE: store.database.address}
    if broker:
        from ..workers.broker import broker_of

        broker_of(broker)
        found[BROKER_VARIABLE] = str(broker)
    return found


def _keep(keeper: Any, told: list[Told]) -> None:
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    try:
        keeper.start()
        while not ending.wait(1.0):
            keeper.tend()
            if keeper.refused:
                raise ConfigurationError("no worker can work here; its log says why")
    finally:
        keeper.end()
