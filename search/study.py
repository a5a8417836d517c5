"""A study: one search, all of it in a database, run in steps that can be interrupted at any moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core import registry
from ..core.contracts import Executor
from ..core.errors import ConfigurationError, StorageError
from ..core.fitness_spec import FULL, FitnessSpec
from ..core.named_plugins import distributions_of
from ..core.parsing import whole_number_of
from ..core.screen_spec import ScreenSpec
from ..core.space import Space
from ..core.stage import Stage
from ..core.study_spec import DEFAULT_FINALISTS, StudySpec
from ..storage import CandidateRecord, Store, StudyRecord
from .candidate import Candidate, name_of
from .goals import Goal
from .leading import leading
from .progress import Listener, silent
from .ranking import front_of, ranked
from .report import Report, report_of
from .reporter import Reporter

if TYPE_CHECKING:  # what evaluates needs transformers, which takes seconds to import: too long just to look
    from ..core.contracts.provider import Progress
    from ..fitness.evaluator import Evaluator
    from ..fitness.item_sets import StagedItems
    from .fitness_report import FitnessReport
    from .run import Run
    from .selection import Selection

LOCAL = "local"
DEFAULT_STORAGE = "sqlite:///heterosis.db"
_VERSIONED = ("heterosis", "pymoo", "optuna", "cma", "cmaes", "numpy", "scipy", "torch", "transformers")


class Study:
    """A search for the best merge in a space.

    Args:
        name: unique in the database; a study of this name and with equal settings is continued.
        space: base, sources and what varies.
        objectives: what to maximize or minimize; the first one picks the winner.
        optimizer: name of an optimizer plugin.
        seed: everything random follows from it.
        storage: database URL, or the path of an SQLite file.
        fitness: how candidates are scored in the search: `full` (every search item), `auto` or another estimator, or a
            mapping as in a study file.
        steady_state: whether the optimizer is fed as results arrive, rather than with whole generations.
        screen: the few items that candidates are asked first, so that only the best of a generation are asked all:
            `{"task": NAME, "items": 8, "keep": 0.5}`, as in a study file.
        starts: whether a search of bit-widths begins with uniform levels, allocations by sensitivity and hand mixes.
        options: for the optimizer.

    Raises:
        ConfigurationError: a setting cannot be used, or a study of this name has other settings.
        StorageError: the database cannot be opened.
    """

    def __init__(
        self,
        name: str,
        space: Space,
        objectives: Sequence[Goal],
        optimizer: str = "cmaes",
        seed: int = 0,
        storage: str | Path = DEFAULT_STORAGE,
        finalists: int = DEFAULT_FINALISTS,
        device: str = "cpu",
        fitness: str | Mapping[str, Any] = FULL,
        steady_state: bool | None = None,
        starts: bool = True,
        screen: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        tasks = {name: task for goal in objectives for name, task in goal.tasks.items()}
        spec = StudySpec(
            name=name,
            space=space,
            tasks=tasks,
            objectives=tuple(goal.objective for goal in objectives),
            fitness=FitnessSpec.from_dict(fitness, tasks, "fitness"),
            screen=ScreenSpec.from_dict(screen, tasks, "screen"),
            optimizer=optimizer,
            optimizer_options=options,
            steady_state=steady_state,
            starts=starts,
            seed=seed,
            finalists=finalists,
            folder=space.relative_to or Path.cwd(),
        )
        store = Store.open(storage)
        known = next((study for study in store.studies.all() if study.name == name), None)
        if known is None:
            spec = _pinned(spec)
            known = _create(spec, store)
        spec = replace(
            spec,
            space=spec.space.pinned_as(known.spec["space"]),
            candidates=known.spec["candidates"],  # the budget is no setting: it may be raised
        )
        if known.spec != _stored(spec):
            raise ConfigurationError(
                f"the study {name!r} is in the database with other settings; give this one another name"
            )
        self._set_up(spec, known, store, device)

    def _set_up(self, spec: StudySpec, record: StudyRecord, store: Store, device: str) -> None:
        self.spec = spec
        self.store = store
        self._executor: Executor | None = None
        self._wanted: tuple[str, Mapping[str, Any]] | None = None
        self.record = record
        self._device = device

    @classmethod
    def create(cls, spec: StudySpec, storage: str | Path = DEFAULT_STORAGE, device: str = "cpu") -> Study:
        """Records a new study.

        Raises:
            ConfigurationError: the database has a study of this name.
        """
        store = Store.open(storage)
        study = cls.__new__(cls)
        spec = _pinned(spec)
        study._set_up(spec, _create(spec, store), store, device)
        return study

    @classmethod
    def load(cls, name: str, storage: str | Path = DEFAULT_STORAGE, device: str = "cpu") -> Study:
        """A study of the database.

        Raises:
            ConfigurationError: there is none of this name (with the nearest one).
        """
        store = Store.open(storage)
        record = store.studies.get(name)
        content = dict(record.spec)
        folder = Path(content.pop("folder"))
        study = cls.__new__(cls)
        study._set_up(StudySpec.from_dict(content, folder, f"study {name!r}"), record, store, device)
        return study

    def optimize(
        self,
        candidates: int | None = None,
        listener: Listener = silent,
        workers: str = LOCAL,
        **options: Any,
    ) -> Study:
        """Searches until `candidates` proposals have been evaluated in all, going on where it was interrupted.

        Then the finalists are evaluated on validation items, and references and winner on test items, where there are
        such items.

        Args:
            candidates: from now on the study's budget; default: what it was before.
            listener: called with the progress after each evaluation.
            workers: who evaluates: `local` (this process), `processes` (one process for each device of this machine),
                `celery` (a fleet), or another executor plugin.
            options: for the executor.

        Raises:
            CheckpointError: a checkpoint is missing, damaged, or has changed since the study began.
            ConfigurationError, PluginError, OptimizerError, StorageError: see their messages. The latter also where
                another process runs this study.
        """
        budget = whole_number_of(self.spec.candidates if candidates is None else candidates, "candidates", at_least=1)
        self._note_models()
        with leading(self.store, self.record.id) as store:
            self.spec = replace(self.spec, candidates=budget)
            self.record = store.studies.set_candidates(self.record.id, budget)
            try:
                run = self._run(workers, options, store)
                store.studies.set_state(self.record.id, "running")
                self._record_levels(store)
                run.loop.run(budget, self._reporter("search", budget, listener))
                self._select(run.selection, listener)
            except BaseException as error:
                with suppress(StorageError):  # another leads since, or the database is gone; this error says more
                    interrupted = isinstance(error, KeyboardInterrupt)
                    store.studies.set_state(self.record.id, "paused" if interrupted else "failed")
                raise
            store.studies.set_state(self.record.id, "complete")
        return self

    def prepare(self, progress: Progress) -> None:
        """Makes and records what a search of bit-widths starts from, if there is none; `optimize` does so otherwise.

        Args:
            progress: called with what is done, how much of it is, and the whole.

        Raises:
            CheckpointError, ConfigurationError, MaterialiseError, StorageError: see their messages.
        """
        if self.spec.space.quantize is None or self.store.studies.levels(self.record.id) is not None:
            return
        self.spec.space.progress = progress
        self._note_models()
        with leading(self.store, self.record.id) as store:
            self._record_levels(store)

    def _note_models(self) -> None:
        checkpoints = self.spec.space.checkpoints
        self.store.studies.record_models(
            self.record.id, {reference: checkpoints[reference].fingerprint for reference in checkpoints}
        )

    def _record_levels(self, store: Store) -> None:
        if self.spec.space.quantize is None or store.studies.levels(self.record.id) is not None:
            return
        from .level_record import record_levels, sensitivity_texts

        staged = self.items["search"].values()
        texts = sensitivity_texts(self.spec.space, (item.data for group in staged for item in group.items))
        record_levels(self.spec, self.record.id, store, texts, self._device)

    def _select(self, selection: Selection, listener: Listener) -> None:
        finalists = selection.finalists()
        if not finalists:
            raise ConfigurationError(_all_failed(self.store.candidates.all(self.record.id, "bred")))
        final = selection.validate(self._reporter("validation", len(finalists), listener))
        if selection.has_stage("test"):
            whole = len(self.spec.space.references()) + 1
            selection.test(final[0], self._reporter("test", whole, listener))

    @property
    def device(self) -> str:
        """Where candidates are evaluated."""
        return self._device

    @property
    def items(self) -> Mapping[Stage, Mapping[str, StagedItems]]:
        """The items that each stage asks, by task."""
        return self._evaluator.items

    @property
    def candidates(self) -> list[Candidate]:
        """The bred candidates, by number."""
        return [self._candidate(record) for record in self.store.candidates.all(self.record.id, "bred")]

    def candidate(self, number: int) -> Candidate:
        """The candidate with this number.

        Raises:
            ConfigurationError: there is none.
        """
        record = self.store.candidates.numbered(self.record.id, number)
        if record is None:
            known = self.store.candidates.count(self.record.id)
            raise ConfigurationError(f"there is no candidate {number}; the study has {known}, numbered from 0")
        return self._candidate(record)

    def front(self) -> list[Candidate]:
        """The candidates that no other dominates on the search items, in all objectives, watched ones included."""
        objectives = (*self.spec.objectives, *self.spec.watch)
        records = front_of(self.store.candidates.all(self.record.id, "bred"), objectives)
        return [self._candidate(record) for record in records]

    def best(self) -> Candidate:
        """The winner: best on the validation items among the finalists, or on the search items if it is not so far.

        Raises:
            ConfigurationError: no candidate has succeeded yet.
        """
        records = self.store.candidates.all(self.record.id, "bred")
        for stage in ("validation", "search"):
            found = ranked(records, self.spec.objectives[0], stage, self._is_estimated and stage == "search")
            if found:
                return self._candidate(found[0])
        raise ConfigurationError(_all_failed(records))

    @property
    def _is_estimated(self) -> bool:
        return self.spec.fitness is not None

    def report(self) -> Report | None:
        """References and winner on the test items, or None if they have not been evaluated there."""
        winner = self.best().record
        tested = [*self.store.candidates.all(self.record.id, "reference"), winner]
        label = self.spec.objectives[0].label
        if not all(label in candidate.measurements.get("test", {}) for candidate in tested):
            return None
        return report_of(self.spec, tested)

    def fitness(self, check: bool = False, checked: Callable[[int, int], None] = lambda *_: None) -> FitnessReport:
        """What the scores on search items cost, what they are learned from, and how good they are.

        Args:
            check: first let the candidates of the last generation answer every item; the search stays as it is.
            checked: called with how many of them have, and how many there are.

        Raises:
            CheckpointError: a checkpoint is missing, damaged, or has changed since the study began.
            ConfigurationError, PluginError, StorageError: see their messages.
        """
        from .fitness_report import fitness_report

        if check and self.spec.fitness is not None:
            from .fitness_check import check_generation

            self._note_models()
            with leading(self.store, self.record.id) as store:
                scoring = self._run(LOCAL, {}, store).estimated_scoring
                check_generation(self.record.id, store, scoring, checked)
        return fitness_report(self.spec, self.record.id, self.store)

    def close(self) -> None:
        """Gives back what the executor holds, and closes the database."""
        if self._executor is not None:
            self._executor.close()
        self.store.close()

    def _candidate(self, record: CandidateRecord) -> Candidate:
        return Candidate(record, self.spec.space, self.store)

    def _reporter(self, stage: Stage, whole: int, listener: Listener) -> Reporter:
        estimated = self.spec.fitness is not None and stage == "search"
        return Reporter(self.store, self.record.id, self.spec.objectives[0], stage, whole, listener, estimated)

    @cached_property
    def _evaluator(self) -> Evaluator:
        from ..fitness.evaluator import Evaluator

        return Evaluator(self.spec, self._device)

    def _run(self, workers: str, options: Mapping[str, Any], store: Store) -> Run:
        """A run over the executor of last time if it is the same, whose workers are warm."""
        from .eval_keys import EvaluationKeys
        from .run import Run

        wanted = (workers, dict(options))
        if self._executor is None or self._wanted != wanted:
            if self._executor is not None:
                self._executor.close()
                self._executor = None
            self._executor = registry.load("executors", workers)(self.store, self._evaluator, **options)
            self._wanted = wanted
        # what computes in a fleet is not known when work is queued, so it is no part of what makes work equal
        keys = EvaluationKeys(self._evaluator, self._device if workers == LOCAL else "fleet")
        self._executor.recover(self.record.id)
        return Run(self.spec, self.record.id, store, self._evaluator, self._executor, keys)


def _stored(spec: StudySpec) -> dict[str, Any]:
    return {**spec.to_dict(), "folder": str(spec.folder)}


def _pinned(spec: StudySpec) -> StudySpec:
    """With the checkpoints of the hub as they are now: a branch may be elsewhere when another machine asks for it."""
    space = spec.space.pinned()
    return spec if space is spec.space else replace(spec, space=space)


def _create(spec: StudySpec, store: Store) -> StudyRecord:
    return store.studies.create(spec.name, _stored(spec), spec.seed, _versions(spec))


def _versions(spec: StudySpec) -> Mapping[str, str]:
    """Of the libraries that results and proposals depend on, and of whatever brings a plugin that the study names."""
    return {name: version(name) for name in _VERSIONED} | distributions_of(spec)


def _all_failed(records: Sequence[CandidateRecord]) -> str:
    failures = [f"{name_of(record)}: {record.failure}" for record in records if record.failure]
    return "no candidate has succeeded" + (f"; the first failure was {failures[0]}" if failures else " yet")
