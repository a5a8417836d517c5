"""Every built-in optimizer passes the conformance check; the check finds optimizers that break the contract."""

import random

import numpy as np
import pytest
from heterosis.core import registry
from heterosis.core.contracts import Optimizer, Proposal
from heterosis.core.errors import ConfigurationError, OptimizerError
from heterosis.core.genome import Genome
from heterosis.search.optimizers.random import RandomSearch
from heterosis.testing.optimizers import CHECKS, FLOATS, Subject, check_optimizer


@pytest.mark.parametrize("name", ["random", "ga", "de", "cmaes", "nsga2", "optuna_cmaes", "level_es", "level_bayes"])
def test_a_built_in_keeps_the_contract(name):
    check_optimizer(name, evaluations=20)


def test_the_parzen_estimator_keeps_the_contract():
    check_optimizer("tpe", evaluations=14, startup=8)


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_gaussian_process_keeps_the_contract(check):
    check(Subject(registry.load("optimizers", "gp"), {"startup": 2}, 3))


class Forgetful(RandomSearch):
    def ask(self, n):
        self._open = []
        return super().ask(n)


class Greedy(RandomSearch):
    def _propose(self, n):
        return super()._propose(n + 1)


class Global(RandomSearch):
    def _next(self):
        return Proposal(self._box.decode(np.random.random(self._box.dimension)), "random")


class Shaker(RandomSearch):
    def _learn(self, results):
        random.random()


class Unseeded(RandomSearch):
    def __init__(self, space, directions, seed, **options):
        super().__init__(space, directions, random.randrange(10**9), **options)


class Stray(RandomSearch):
    def _next(self):
        return Proposal(Genome({**super()._next().genome, "weight": 1.7}), "random")


class Fragile(RandomSearch):
    def _learn(self, results):
        self.total = sum(told.values[0] for _, told in results)


class Orphan(RandomSearch):
    def _next(self):
        return Proposal(super()._next().genome, "random", (10**6,))


class Credulous(RandomSearch):
    def tell(self, results):
        self._open = []


class Stubborn(RandomSearch):
    """Says that it takes results as they arrive, and then insists on turns."""

    def steady_state(self):
        pass


class Hasty(RandomSearch):
    """Takes any result in steady state, although no such proposal is open."""

    def tell(self, results):
        if not self._steady:
            super().tell(results)
        self._open = [one for one in self._open if one.proposal.genome != results[0].genome]


class Restless(RandomSearch):
    """Is seeded anew with every result, and never twice the same."""

    def _learn(self, results):
        if self._steady:
            self._random = np.random.default_rng()


class Permissive(RandomSearch):
    def __init__(self, space, directions, seed, **options):
        super().__init__(space, directions, seed)


class Backwards(Optimizer):
    name = "backwards"

    def __init__(self, space, directions, seed, **options):
        if len(directions) != 1 or directions[0] not in ("maximize", "minimize") or options:
            raise ConfigurationError("no")
        turned = "minimize" if directions[0] == "maximize" else "maximize"
        self.inner = registry.load("optimizers", "cmaes")(space, (turned,), seed)

    def ask(self, n):
        return self.inner.ask(n)

    def tell(self, results):
        self.inner.tell(results)


@pytest.mark.parametrize(
    "broken",
    [
        Forgetful,
        Greedy,
        Global,
        Shaker,
        Unseeded,
        Stray,
        Fragile,
        Orphan,
        Credulous,
        Permissive,
        Backwards,
        Stubborn,
        Hasty,
        Restless,
    ],
)
def test_a_broken_optimizer_is_caught(broken):
    with pytest.raises((AssertionError, ConfigurationError, TypeError)):
        check_optimizer(broken, evaluations=25)


def test_an_optimizer_that_refuses_a_space_is_fine():
    class Choosy(RandomSearch):
        def __init__(self, space, directions, seed, **options):
            super().__init__(space, directions, seed, **options)
            if len(space) == 1:
                raise OptimizerError("too small for me")

    check_optimizer(Choosy, evaluations=10)


def test_an_optimizer_that_works_in_turns_only_is_fine():
    class Turns(RandomSearch):
        def steady_state(self):
            Optimizer.steady_state(self)

    with pytest.raises(OptimizerError, match="takes whole generations of results only"):
        Turns(FLOATS, ("maximize",), 1).steady_state()
    check_optimizer(Turns, evaluations=10)
