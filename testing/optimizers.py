"""Conformance check for contract `heterosis.optimizers`: run it on your own optimizer as we run it on ours.

>>> from heterosis.testing.optimizers import check_optimizer
>>> check_optimizer("random")
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core import registry
from ..core.contracts import Direction, Optimizer, Proposal, Told
from ..core.errors import ConfigurationError, OptimizerError
from ..core.gene_space import GeneSpace
from ..core.genes import CategoryGene, Condition, FloatGene, IntegerGene
from ..core.genome import Genome

Evaluate = Callable[[Genome], tuple[float, ...] | None]

FLOATS = GeneSpace([FloatGene("a", 0.0, 1.5), FloatGene("b", -2.0, 1.0), FloatGene("c", 0.0, 1.0)])
MIXED = GeneSpace(
    [
        CategoryGene("method", ("ties", "slerp", True)),
        FloatGene("density", 0.1, 1.0, Condition("method", ("ties",))),
        IntegerGene("dropped", 0, 6),
        FloatGene("weight", 0.0, 1.5),
    ]
)
ODD_SPACES = {
    "one float gene": GeneSpace([FloatGene("a", -1.0, 2.0)]),
    "one gene with one value": GeneSpace([FloatGene("a", 1.5, 1.5)]),
    "one gene that is fixed, one that is not": GeneSpace([FloatGene("a", 1.5, 1.5), FloatGene("b", 0.0, 1.0)]),
    "one integer gene": GeneSpace([IntegerGene("a", 2, 4)]),
    "only categories": GeneSpace([CategoryGene("a", ("x", "y")), CategoryGene("b", (True, False, 3))]),
    "categories with one choice": GeneSpace([CategoryGene("a", ("x",))]),
}


@dataclass(frozen=True)
class Subject:
    """An optimizer that is checked, its options, and how many evaluations a run of it may take."""

    optimizer: type[Optimizer]
    options: dict[str, Any]
    evaluations: int

    def new(
        self, space: GeneSpace = FLOATS, directions: Sequence[Direction] = ("maximize",), seed: int = 1
    ) -> Optimizer:
        """A fresh instance."""
        return self.optimizer(space, directions, seed, **self.options)


def optimize(optimizer: Optimizer, evaluate: Evaluate, evaluations: int, at_a_time: int = 4) -> list[Told]:
    """Asks and tells until `evaluations` results are there, as a study does, and returns them."""
    return [told for _, told in trajectory(optimizer, evaluate, evaluations, at_a_time)]


def trajectory(
    optimizer: Optimizer, evaluate: Evaluate, evaluations: int, at_a_time: int = 4
) -> list[tuple[Proposal, Told]]:
    """As `optimize`, with the proposals. Candidates are numbered from 0; equal genomes share a number."""
    numbers: dict[Genome, int] = {}
    done: list[tuple[Proposal, Told]] = []
    while len(done) < evaluations:
        proposals = optimizer.ask(min(at_a_time, evaluations - len(done)))
        results = []
        for proposal in proposals:
            number = numbers.setdefault(proposal.genome, len(numbers))
            results.append(Told(number, proposal.genome, evaluate(proposal.genome)))
        optimizer.tell(results)
        done.extend(zip(proposals, results, strict=True))
    return done


def steady_trajectory(
    optimizer: Optimizer, evaluate: Evaluate, evaluations: int, outstanding: int = 8, seed: int = 0
) -> list[tuple[Proposal, Told]]:
    """As `trajectory`, in steady state: `outstanding` proposals under way, of which one after the other is told.

    Args:
        seed: decides the order in which results arrive.
    """
    optimizer.steady_state()
    order = random.Random(seed)
    numbers: dict[Genome, int] = {}
    waiting: list[Proposal] = []
    done: list[tuple[Proposal, Told]] = []
    while len(done) < evaluations:
        while len(waiting) < min(outstanding, evaluations - len(done)):
            waiting.extend(optimizer.ask(1))
        proposal = waiting.pop(order.randrange(len(waiting)))
        number = numbers.setdefault(proposal.genome, len(numbers))
        done.append((proposal, Told(number, proposal.genome, evaluate(proposal.genome))))
        optimizer.tell([done[-1][1]])
    return done


def check_optimizer(optimizer: str | type[Optimizer], evaluations: int = 40, **options: Any) -> None:
    """Checks that an optimizer keeps its contract.

    Args:
        optimizer: a class, or the name of an installed plugin.
        evaluations: how many a run may take (there are about 40 runs); fewer for a slow optimizer, yet enough for it
            to start learning.
        options: given to the optimizer.

    Raises:
        AssertionError: it does not; the message says what it did.
    """
    subject = Subject(
        registry.load("optimizers", optimizer) if isinstance(optimizer, str) else optimizer, options, evaluations
    )
    for check in CHECKS:
        check(subject)


def check_identity(subject: Subject) -> None:
    """It is a subclass of the contract, with a name."""
    assert issubclass(subject.optimizer, Optimizer), f"{subject.optimizer} is not a subclass of Optimizer"
    assert subject.optimizer.name, f"{subject.optimizer} has no name"


def check_proposals(subject: Subject) -> None:
    """Between 1 and n proposals, within the space, with an operator, from parents that exist."""
    for at_a_time in (1, 3, 64):
        known: set[int] = set()
        optimizer = subject.new(MIXED)
        for proposal, told in trajectory(optimizer, _size, subject.evaluations, at_a_time):
            MIXED.check(proposal.genome)
            assert proposal.operator, f"a proposal without an operator: {proposal}"
            known.add(told.number)
            strangers = set(proposal.parents) - known
            assert not strangers, f"parents {strangers} of {proposal} were never told"
    for n in (1, 3, 64):
        count = len(subject.new().ask(n))
        assert 1 <= count <= n, f"ask({n}) gave {count} proposals"


def check_determinism(subject: Subject) -> None:
    """The same seed and results give the same proposals: a killed study resumes by replay."""
    for space in (FLOATS, MIXED):
        assert _genomes(subject, space) == _genomes(subject, space), "the same seed and results gave other proposals"


def check_isolation(subject: Subject) -> None:
    """No global random state is read or changed, and two instances do not disturb each other."""
    alone = _genomes(subject, FLOATS)
    random.seed(3)
    np.random.seed(3)
    before = _global_state()
    optimizer, neighbour = subject.new(), subject.new(seed=9)
    beside: list[Genome] = []
    while len(beside) < subject.evaluations:
        beside.extend(_turn(optimizer, min(4, subject.evaluations - len(beside))))
        _turn(neighbour, 3)
    assert _global_state() == before, "the global random state of `random` or of numpy was changed"
    assert beside == alone, "another instance, or the global random state, changed the proposals"


def check_turns(subject: Subject) -> None:
    """Ask and tell take turns; results must be those of the last ask."""
    optimizer = subject.new()
    _refused(lambda: optimizer.tell([]), "told before it was asked")
    proposals = optimizer.ask(4)
    results = [Told(number, proposal.genome, (0.5,)) for number, proposal in enumerate(proposals)]
    stranger = Told(0, Genome({"a": 0.123, "b": 0.0, "c": 0.0}), (0.5,))
    _refused(lambda: optimizer.ask(1), "asked twice")
    _refused(lambda: optimizer.tell([*results, stranger]), "told one result too many")
    _refused(lambda: optimizer.tell(results[:-1]), "told one result too few")
    _refused(lambda: optimizer.tell([stranger, *results[1:]]), "told the result of another genome")
    optimizer.tell(results)
    _refused(lambda: optimizer.tell(results), "told twice")


def check_failures(subject: Subject) -> None:
    """Failed candidates, even all of them, and equal results, do not stop the search."""
    for space in (FLOATS, MIXED):
        optimize(subject.new(space), lambda genome: None, subject.evaluations)
        optimize(subject.new(space), lambda genome: (0.5,), subject.evaluations)
        optimize(subject.new(space), _sometimes, subject.evaluations)


def check_directions(subject: Subject) -> None:
    """What is maximised does not come out smaller than what is minimised; wrong directions are refused."""
    directions: tuple[Direction, Direction] = ("maximize", "minimize")
    high, low = (
        float(np.mean([_size(genome)[0] for genome in _genomes(subject, FLOATS, direction)[-5:]]))
        for direction in directions
    )
    assert high >= low, f"the search goes the wrong way: {high} when maximised, {low} when minimised"
    _misconfigured(lambda: subject.new(FLOATS, ()), "took no direction at all")
    _misconfigured(lambda: subject.new(FLOATS, ("upwards",)), "took the direction 'upwards'")  # type: ignore[arg-type]
    if subject.optimizer.multi_objective:
        optimize(subject.new(FLOATS, directions), lambda g: (*_size(g), -_size(g)[0]), subject.evaluations)
    else:
        _misconfigured(lambda: subject.new(FLOATS, directions), "took two objectives, multi_objective being false")


def check_options(subject: Subject) -> None:
    """An unknown option is refused."""
    options = {**subject.options, "no_such_option": 1}
    _misconfigured(lambda: subject.optimizer(FLOATS, ("maximize",), 1, **options), "took an unknown option")


def check_odd_spaces(subject: Subject) -> None:
    """Spaces of one gene, of one value, of categories only: it searches them, or refuses them at once."""
    for label, space in ODD_SPACES.items():
        try:
            optimizer = subject.new(space)
        except OptimizerError:
            continue
        try:
            results = optimize(optimizer, lambda genome: (1.0,), subject.evaluations)
        except Exception as error:
            raise AssertionError(f"a space with {label} stopped it: {error!r}") from error
        for told in results:
            space.check(told.genome)


def check_steady_state(subject: Subject) -> None:
    """Fed as results arrive, in any order, it searches as well; an optimizer that works in turns says so at once."""
    if not _is_steady(subject):
        return
    for space in (FLOATS, MIXED):
        done = steady_trajectory(subject.new(space), _size, subject.evaluations)
        known: set[int] = set()
        for proposal, told in done:
            space.check(proposal.genome)
            assert proposal.operator, f"a proposal without an operator: {proposal}"
            known.add(told.number)
        strangers = {parent for proposal, _ in done for parent in proposal.parents} - known
        assert not strangers, f"parents {strangers} were never told"
        again = steady_trajectory(subject.new(space), _size, subject.evaluations)
        assert again == done, "in steady state, the same seed and calls gave other proposals"
        for evaluate in (lambda genome: None, lambda genome: (0.5,), _sometimes):
            steady_trajectory(subject.new(space), evaluate, subject.evaluations)
    high, low = (
        float(np.mean([_size(told.genome)[0] for _, told in found[-5:]]))
        for direction in ("maximize", "minimize")
        for found in [steady_trajectory(subject.new(FLOATS, (direction,)), _size, subject.evaluations, 2)]
    )
    assert high >= low, f"in steady state the search goes the wrong way: {high} when maximised, {low} when minimised"
    for label, space in ODD_SPACES.items():
        try:
            optimizer = subject.new(space)
        except OptimizerError:
            continue
        try:
            steady_trajectory(optimizer, lambda genome: (1.0,), subject.evaluations)
        except Exception as error:
            raise AssertionError(f"a space with {label} stopped it in steady state: {error!r}") from error


def check_open_proposals(subject: Subject) -> None:
    """In steady state it can be asked at any time, and told of open proposals only, one at a time."""
    if not _is_steady(subject):
        return
    optimizer = subject.new()
    optimizer.steady_state()
    try:
        proposals = [proposal for _ in range(12) for proposal in optimizer.ask(1)]
    except OptimizerError as error:
        raise AssertionError(f"in steady state it refused to be asked while results were missing: {error}") from error
    assert len(proposals) == 12, f"12 times ask(1) gave {len(proposals)} proposals"
    results = [Told(number, proposal.genome, (0.5,)) for number, proposal in enumerate(proposals)]
    stranger = Told(0, Genome({"a": 0.123, "b": 0.0, "c": 0.0}), (0.5,))
    _refused(lambda: optimizer.tell([stranger]), "told the result of another genome")
    _refused(lambda: optimizer.tell([]), "told no result")
    for result in reversed(results):
        optimizer.tell([result])
    _refused(lambda: optimizer.tell(results[:1]), "told twice")
    _refused(optimizer.steady_state, "put into steady state after it was asked")


CHECKS: tuple[Callable[[Subject], None], ...] = (
    check_identity,
    check_proposals,
    check_determinism,
    check_isolation,
    check_turns,
    check_failures,
    check_directions,
    check_options,
    check_odd_spaces,
    check_open_proposals,
    check_steady_state,
)


def _is_steady(subject: Subject) -> bool:
    try:
        subject.new().steady_state()
    except OptimizerError:
        return False
    return True


def _size(genome: Genome) -> tuple[float, ...]:
    return (sum(float(value) for value in genome.values() if not isinstance(value, str)),)


def _sometimes(genome: Genome) -> tuple[float, ...] | None:
    return None if int(genome.hash, 16) % 2 else _size(genome)


def _genomes(subject: Subject, space: GeneSpace, direction: Direction = "maximize") -> list[Genome]:
    return [told.genome for told in optimize(subject.new(space, (direction,)), _size, subject.evaluations)]


def _turn(optimizer: Optimizer, n: int) -> list[Genome]:
    proposals = optimizer.ask(n)
    optimizer.tell([Told(number, proposal.genome, _size(proposal.genome)) for number, proposal in enumerate(proposals)])
    return [proposal.genome for proposal in proposals]


def _global_state() -> tuple[Any, ...]:
    name, keys, *rest = np.random.get_state()
    return (random.getstate(), name, np.asarray(keys).tobytes(), *rest)


def _refused(call: Callable[[], object], what: str) -> None:
    try:
        call()
    except OptimizerError:
        return
    raise AssertionError(f"no OptimizerError although it was {what}")


def _misconfigured(call: Callable[[], object], what: str) -> None:
    try:
        call()
    except ConfigurationError:
        return
    raise AssertionError(f"it {what}; a ConfigurationError was due")
