"""Conformance check for contract `heterosis.schedulers`: run it on your own scheduler as we run it on ours.

>>> from heterosis.testing.schedulers import check_scheduler
>>> check_scheduler("first_come")
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..core import registry
from ..core.contracts.scheduler import Scheduler, Standing, Work

SCENES = 40
MINUTE = 60.0
GIGABYTE = 1 << 30


@dataclass(frozen=True)
class Subject:
    """A scheduler that is checked, and its options."""

    scheduler: type[Scheduler]
    options: dict[str, Any]

    def new(self) -> Scheduler:
        """A fresh instance."""
        return self.scheduler(**self.options)

    def choose(self, worker: Standing, waiting: Sequence[Work], fleet: Sequence[Standing]) -> Work | None:
        """A fresh instance's choice. Raises AssertionError if that raises anything, or if it cannot be done."""
        try:
            choice = self.new().choose(worker, waiting, fleet)
        except Exception as error:
            raise AssertionError(f"{worker} asked for one of {list(waiting)}, and that raised {error!r}") from error
        if choice is not None:
            assert choice in waiting, f"it chose {choice}, which does not wait"
            assert worker.holds(choice), f"it chose {choice}, which does not fit into {worker}"
        return choice


@dataclass(frozen=True)
class Scene:
    """What waits, and who is there."""

    waiting: tuple[Work, ...]
    fleet: tuple[Standing, ...]


def some_scene(seed: int, free: bool = False) -> Scene:
    """Work and workers of all sorts: long and short, overdue and not, reliable and volatile, some too small.

    Args:
        free: nobody is busy.
    """
    rng = np.random.default_rng(seed)
    waiting = tuple(_some_work(rng, number) for number in range(int(rng.integers(1, 12))))
    fleet = tuple(_some_worker(rng, number, free) for number in range(int(rng.integers(1, 8))))
    return Scene(waiting, fleet)


def drain(subject: Subject, scene: Scene, rng: np.random.Generator) -> list[str]:
    """The ids of the works in the order in which they are begun, until nothing is left that fits anybody.

    Free workers ask in a random order; when none of them accepts anything, time goes on to the next who gets free.
    """
    waiting, fleet = list(scene.waiting), list(scene.fleet)
    done: list[str] = []
    while any(worker.holds(work) for worker in fleet for work in waiting):
        places = [place for place, worker in enumerate(fleet) if worker.busy_seconds_left == 0]
        for place in rng.permutation(places).astype(int) if places else ():
            work = subject.choose(fleet[place], waiting, fleet)
            if work is not None:
                waiting.remove(work)
                done.append(work.id)
                fleet[place] = replace(fleet[place], busy_seconds_left=fleet[place].seconds_for(work))
        if waiting:
            busy = [worker.busy_seconds_left for worker in fleet if worker.busy_seconds_left > 0]
            assert busy, f"all of {fleet} are free, and none of them accepts any of {waiting}"
            fleet = [replace(worker, busy_seconds_left=_later(worker, min(busy))) for worker in fleet]
            waiting = [_older(work, min(busy)) for work in waiting]
    return done


def check_scheduler(scheduler: str | type[Scheduler], **options: Any) -> None:
    """Checks that a scheduler keeps its contract.

    Args:
        scheduler: a class, or the name of an installed plugin.
        options: what it is made with.

    Raises:
        AssertionError: it does not; the message says what it did.
        PluginError: no plugin of that name can be loaded.
    """
    if isinstance(scheduler, str):
        loaded: type[Scheduler] = registry.load("schedulers", scheduler)
        named = f"the entry point is called {scheduler!r}, but the class's `name` is {loaded.name!r}"
        assert loaded.name == scheduler, named
        scheduler = loaded
    subject = Subject(scheduler, options)
    for check in CHECKS:
        check(subject)


def check_identity(subject: Subject) -> None:
    """It is a subclass of the contract, with a name and a default for every option."""
    scheduler = subject.scheduler
    assert isinstance(scheduler, type), f"{scheduler!r} is not a class"
    assert issubclass(scheduler, Scheduler), f"{scheduler} is not a subclass of Scheduler"
    lacking = sorted(getattr(scheduler, "__abstractmethods__", ()))
    assert not lacking, f"{scheduler} lacks {', '.join(lacking)}"
    assert isinstance(getattr(scheduler, "name", None), str), f"{scheduler} has no name"
    assert scheduler.name, f"{scheduler} has an empty name"
    for name, parameter in inspect.signature(scheduler).parameters.items():
        assert parameter.kind is parameter.KEYWORD_ONLY, f"the option {name!r} is not keyword-only"
        assert parameter.default is not parameter.empty, f"the option {name!r} has no default"


def check_choices(subject: Subject) -> None:
    """It chooses something that waits and fits, or nothing; of nothing, nothing."""
    for seed in range(SCENES):
        scene = some_scene(seed)
        for worker in scene.fleet:
            subject.choose(worker, scene.waiting, scene.fleet)
            nothing = subject.choose(worker, (), scene.fleet)
            assert nothing is None, f"it chose {nothing} where nothing waits"


def check_purity(subject: Subject) -> None:
    """The same arguments give the same choice, in any order, whatever it was asked before."""
    asked_before = subject.new()
    for seed in range(SCENES):
        scene = some_scene(seed)
        for worker in scene.fleet:
            first = subject.choose(worker, scene.waiting, scene.fleet)
            turned = subject.choose(worker, scene.waiting[::-1], scene.fleet[::-1])
            assert turned == first, f"the order of what was given made it choose {turned}, not {first}"
            again = asked_before.choose(worker, scene.waiting, scene.fleet)
            assert again == first, f"what it was asked before made it choose {again}, not {first}"


def check_someone_accepts(subject: Subject) -> None:
    """Whenever all are free, somebody accepts something that fits; one who is alone always does."""
    for seed in range(SCENES):
        scene = some_scene(seed, free=True)
        able = [worker for worker in scene.fleet if any(worker.holds(work) for work in scene.waiting)]
        choices = [subject.choose(worker, scene.waiting, scene.fleet) for worker in able]
        if able:
            assert any(choices), f"all of {able} are free, and none of them accepts any of {scene.waiting}"
            alone = subject.choose(able[0], scene.waiting, able[:1])
            assert alone is not None, f"{able[0]} is alone and does not accept any of {scene.waiting}"


def check_everything_is_done(subject: Subject) -> None:
    """As time goes on, all work gets done that fits anybody."""
    for seed in range(SCENES):
        scene = some_scene(seed)
        fitting = sorted(work.id for work in scene.waiting if any(worker.holds(work) for worker in scene.fleet))
        done = drain(subject, scene, np.random.default_rng(seed))
        assert sorted(done) == fitting, f"of {fitting} it had {sorted(done)} done"


CHECKS: tuple[Callable[[Subject], None], ...] = (
    check_identity,
    check_choices,
    check_purity,
    check_someone_accepts,
    check_everything_is_done,
)


def _some_work(rng: np.random.Generator, number: int) -> Work:
    return Work(
        id=f"work {number}",
        study_id=f"study {rng.integers(3)}",
        seconds=float(rng.lognormal(6.0, 1.5)),
        priority=int(rng.choice([-1, 0, 0, 0, 5])),
        need_bytes=int(rng.integers(0, 48)) * GIGABYTE,
        waited_seconds=float(rng.choice([0.0, 20.0, 10 * MINUTE, 600 * MINUTE])),
        attempts_lost=int(rng.choice([0, 0, 0, 1, 2])),
        near=float(rng.choice([0.0, 0.5, 1.0])),
        loaded=bool(rng.integers(2)),
        deadline_seconds=float(rng.uniform(-10 * MINUTE, 90 * MINUTE)) if rng.integers(2) else None,
    )


def _some_worker(rng: np.random.Generator, number: int, free: bool) -> Standing:
    return Standing(
        id=f"worker {number}",
        device_type=str(rng.choice(["small", "big"])),
        memory_bytes=int(rng.choice([12, 24, 40])) * GIGABYTE,
        speed=float(rng.choice([0.2, 1.0, 1.0, 3.0, 10.0])),
        price_per_hour=float(rng.choice([0.0, 0.1, 0.1, 2.0])),
        losses_per_hour=float(rng.choice([0.0, 0.05, 0.5, 5.0])),
        busy_seconds_left=0.0 if free or rng.integers(2) else float(rng.exponential(10 * MINUTE)),
    )


def _later(worker: Standing, seconds: float) -> float:
    left = worker.busy_seconds_left - seconds
    return left if left > 1e-6 else 0.0


def _older(work: Work, seconds: float) -> Work:
    deadline = None if work.deadline_seconds is None else work.deadline_seconds - seconds
    return replace(work, waited_seconds=work.waited_seconds + seconds, deadline_seconds=deadline)
