"""The registry: plugins are found through entry points, the built-ins exactly like anybody's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from .contracts import (
    Bridge,
    Estimator,
    Executor,
    Exporter,
    Format,
    MergeMethod,
    Objective,
    Optimizer,
    Provider,
    Quantizer,
    Scheduler,
    Statistics,
    Task,
)
from .errors import PluginError, did_you_mean

CONTRACTS: Mapping[str, type[Any]] = {
    "merge_methods": MergeMethod,
    "quantizers": Quantizer,
    "formats": Format,
    "tasks": Task,
    "objectives": Objective,
    "optimizers": Optimizer,
    "exporters": Exporter,
    "executors": Executor,
    "schedulers": Scheduler,
    "estimators": Estimator,
    "providers": Provider,
    "statistics": Statistics,
    "bridges": Bridge,
}

T = TypeVar("T")


@dataclass(frozen=True)
class Plugin:
    """An installed plugin.

    Attributes:
        kind: a key of CONTRACTS; the entry-point group is `heterosis.<kind>`.
        target: module and class, `package.module:Class`.
        origin: name and version of the distribution that brings it, or of the library that it was bridged from.
        error: why it cannot be used, or None.
    """

    kind: str
    name: str
    target: str
    origin: str
    error: str | None


@cache
def _points(kind: str) -> dict[str, tuple[EntryPoint, ...]]:
    if kind not in CONTRACTS:
        raise PluginError(f"there is no plugin kind {kind!r}. {did_you_mean(kind, CONTRACTS)}")
    found: dict[str, tuple[EntryPoint, ...]] = {}
    for point in entry_points(group=f"heterosis.{kind}"):
        same = found.get(point.name, ())
        if all(other.value != point.value for other in same):
            found[point.name] = (*same, point)
    return found


def names(kind: str) -> list[str]:
    """The names of the installed plugins of a kind, in alphabetical order (whether they import is not tried).

    Bridged ones are left out: asking for them imports the library that they come from.
    """
    return sorted(_points(kind))


@cache
def load(kind: str, name: str) -> type[Any]:
    """The plugin class called `name`.

    Raises:
        PluginError: there is none, two distributions claim the name, it fails to import, or it breaks its contract.
    """
    points = _points(kind).get(name)
    what = kind.replace("_", " ").removesuffix("s")
    if points is None:
        return _load_bridged(kind, name, what)
    if len(points) > 1:
        origins = " and ".join(_origin(point) for point in points)
        raise PluginError(f"the {what} {name!r} is offered by {origins}; uninstall one of them")
    try:
        plugin = points[0].load()
    except (Exception, SystemExit) as error:  # a third party's import may fail in any way, or try to end the program
        raise PluginError(
            f"the {what} {name!r} ({points[0].value}, from {_origin(points[0])}) does not import: {error!r}"
        ) from error
    contract = CONTRACTS[kind]
    if not (isinstance(plugin, type) and issubclass(plugin, contract)):
        raise PluginError(f"the {what} {name!r} ({points[0].value}) is not a subclass of {contract.__name__}")
    if lacking := sorted(getattr(plugin, "__abstractmethods__", ())):
        raise PluginError(f"the {what} {name!r} ({points[0].value}) lacks {', '.join(lacking)}")
    return plugin


def installed() -> list[Plugin]:
    """Every installed plugin, by kind and name; one that cannot be used is listed with its error."""
    found: list[Plugin] = []
    for kind in CONTRACTS:
        for name, points in sorted(_points(kind).items()):
            try:
                load(kind, name)
                error = None
            except PluginError as problem:
                error = str(problem)
            found.extend(Plugin(kind, name, point.value, _origin(point), error) for point in points)
        found.extend(_installed_bridged(kind))
    return found


def distributions(kind: str, name: str) -> dict[str, str]:
    """What brings a plugin, with versions: its own distribution, and the library that it was bridged from.

    Raises:
        PluginError: there is none, two distributions claim the name, or it cannot be loaded.
    """
    load(kind, name)
    points = _points(kind).get(name)
    if points is not None:
        return _distribution(points[0])
    prefix, slash, _ = name.partition("/")
    bridges = _bridges(kind)
    for bridge, one in bridges.items():
        if (slash and prefix == bridge) or name in one.names():
            library, _, version = one.origin.rpartition(" ")
            return {**_distribution(_points("bridges")[bridge][0]), library: version}
    return {}


def _distribution(point: EntryPoint) -> dict[str, str]:
    return {point.dist.name: point.dist.version} if point.dist else {}


def _bridges(kind: str) -> dict[str, Bridge]:
    """The bridges to plugins of a kind; one that does not load is left out (`installed` lists it with its error)."""
    found: dict[str, Bridge] = {}
    for name in names("bridges"):
        with suppress(PluginError):
            bridge = load("bridges", name)
            if bridge.kind == kind:
                found[name] = bridge()
    return found


def _load_bridged(kind: str, name: str, what: str) -> type[Any]:
    bridges = _bridges(kind) if kind != "bridges" else {}
    prefix, slash, rest = name.partition("/")
    if slash and prefix in bridges:
        return bridges[prefix].load(rest, name)
    for bridge in bridges.values():
        if name in bridge.names():
            return bridge.load(name, name)
    valid = [*_points(kind), *(bridged for bridge in bridges.values() for bridged in bridge.names())]
    raise PluginError(f"there is no {what} {name!r}. {did_you_mean(name, dict.fromkeys(valid))}")


def _installed_bridged(kind: str) -> Iterator[Plugin]:
    for bridge in _bridges(kind).values() if kind != "bridges" else ():
        for name in sorted(set(bridge.names()) - set(_points(kind))):
            try:
                bridge.load(name, name)
                error = None
            except PluginError as problem:
                error = str(problem)
            yield Plugin(kind, name, bridge.target(name), bridge.origin, error)


def _origin(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown distribution"
