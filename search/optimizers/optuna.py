"""Optimizers of Optuna (Akiba et al., 2019): tree-structured Parzen estimator, CMA-ES, Gaussian process."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, cast

import optuna

from ...core.contracts import Direction, Proposal, Told
from ...core.errors import OptimizerError
from ...core.gene_space import GeneSpace
from ...core.genes import CategoryGene, FloatGene, Gene, GeneValue, IntegerGene
from ...core.genome import Genome
from .open_proposals import Open
from .options import Number
from .turns import TurnTaking

_BATCH = Number(1, 1, "candidates proposed at a time, for as many workers", whole=True)
_STARTUP = Number(10, 1, "random candidates before the model takes over", whole=True)


class OptunaOptimizer(TurnTaking):
    """Asks an Optuna study in memory, gene after gene.

    Attributes:
        suggests_inactive: whether the sampler also gives values, which nobody sees, to inactive genes: for those
            samplers that model one fixed set of genes, and would leave conditional ones to chance.
    """

    operator: ClassVar[str]
    suggests_inactive: ClassVar[bool] = False

    def __init__(self, space: GeneSpace, directions: Sequence[Direction], seed: int, **options: Any) -> None:
        super().__init__(space, directions, seed, **options)
        self._succeeded = 0
        with _quiet():
            self._study = optuna.create_study(sampler=self._sampler(), directions=list(self.directions))
            for genome in self.first:
                self._study.enqueue_trial(self._completed(genome))

    @abstractmethod
    def _sampler(self) -> optuna.samplers.BaseSampler:
        """The sampler, seeded."""

    def _propose(self, n: int) -> list[Open]:
        with _quiet():
            return [self._next() for _ in range(min(n, self.settings["batch"]))]

    def _next(self) -> Open:
        trial = self._study.ask()
        return Open(Proposal(self._genome(trial), self._operator(trial)), trial)

    def _genome(self, trial: optuna.Trial) -> Genome:
        values: dict[str, GeneValue] = {}
        for gene in self.space:
            active = self.space.is_active(gene, values)
            if active or self.suggests_inactive:
                suggested = _suggest(trial, gene)
                if active:
                    values[gene.name] = suggested
        return self.space.repaired(Genome(values))

    def _completed(self, genome: Genome) -> dict[str, GeneValue]:
        if not self.suggests_inactive:
            return dict(genome)
        return {gene.name: genome.get(gene.name, _resting(gene)) for gene in self.space}

    def _operator(self, trial: optuna.Trial) -> str:
        if trial.number < len(self.first):
            return "given"
        return "random" if self._succeeded < self.settings.get("startup", 1) else self.operator

    def _learn(self, results: Sequence[tuple[Any, Told]]) -> None:
        with _quiet():
            for trial, told in results:
                if told.values is None:
                    self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
                else:
                    self._study.tell(trial, list(told.values))
                    self._succeeded += 1


class Tpe(OptunaOptimizer):
    """The tree-structured Parzen estimator (Bergstra et al., 2011), multivariate for one objective."""

    name = "tpe"
    multi_objective = True
    operator = "tpe"
    options: ClassVar = {
        "batch": _BATCH,
        "startup": _STARTUP,
        "draws": Number(24, 1, "points drawn from the model, of which the most promising is proposed", whole=True),
    }

    def _sampler(self) -> optuna.samplers.BaseSampler:
        conditional = any(gene.active_when is not None for gene in self.space)
        return optuna.samplers.TPESampler(
            seed=self._derived_seed(),
            n_startup_trials=self.settings["startup"],
            n_ei_candidates=self.settings["draws"],
            # The joint model needs to be told apart by which genes are active; with several objectives, Optuna
            # models genes one by one, and needs no such grouping.
            group=conditional and len(self.directions) == 1,
        )


class OptunaCmaEs(OptunaOptimizer):
    """CMA-ES (Hansen and Ostermeier, 2001), by the cmaes package, with margins where there are integers.

    It moves float and integer genes, from the first genome of `first` (the middle of the space by default); categories
    are drawn at random.

    Raises:
        OptimizerError: there is no float or integer gene.
    """

    name = "optuna_cmaes"
    operator = "cma"
    suggests_inactive = True
    default_first = ("middle",)
    options: ClassVar = {
        "batch": _BATCH,
        "population": Number(None, 3, "candidates in a generation", whole=True),
        "sigma": Number(0.2, 1e-6, "initial step size, as a fraction of each gene's range", high=1.0),
    }

    def _sampler(self) -> optuna.samplers.BaseSampler:
        moved = [gene for gene in self.space if not isinstance(gene, CategoryGene)]
        if not moved:
            raise OptimizerError(f"{self.name!r} moves numbers, and this space has only categories; use 'tpe' or 'ga'")
        start = self._completed(self.first[0]) if self.first else None
        return optuna.samplers.CmaEsSampler(
            seed=self._derived_seed(),
            x0={gene.name: start[gene.name] for gene in moved} if start else None,
            sigma0=self.settings["sigma"],
            popsize=self.settings["population"],
            with_margin=any(isinstance(gene, IntegerGene) for gene in moved),
            warn_independent_sampling=False,
        )


class GaussianProcess(OptunaOptimizer):
    """Bayesian optimization with a Gaussian process and (hypervolume) expected improvement.

    The best choice for few evaluations of few genes; a proposal takes up to a few seconds.
    """

    name = "gp"
    multi_objective = True
    operator = "gp"
    suggests_inactive = True
    options: ClassVar = {"batch": _BATCH, "startup": _STARTUP}

    def _sampler(self) -> optuna.samplers.BaseSampler:
        return optuna.samplers.GPSampler(
            seed=self._derived_seed(), n_startup_trials=self.settings["startup"], warn_independent_sampling=False
        )


def _suggest(trial: optuna.Trial, gene: Gene) -> GeneValue:
    if isinstance(gene, FloatGene):
        return trial.suggest_float(gene.name, float(gene.low), float(gene.high)) + 0.0  # + 0.0: no negative zero
    if isinstance(gene, IntegerGene):
        return trial.suggest_int(gene.name, gene.low, gene.high)
    return cast("GeneValue", trial.suggest_categorical(gene.name, gene.choices))


def _resting(gene: Gene) -> GeneValue:
    if isinstance(gene, FloatGene):
        return gene.low / 2 + gene.high / 2
    return (gene.low + gene.high) // 2 if isinstance(gene, IntegerGene) else gene.choices[0]


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna without its remarks, whose audience is whoever calls Optuna, not our user; its settings are put back."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)
