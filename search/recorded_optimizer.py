"""The optimizer of a study: what it proposes is recorded before anything comes of it, and compared when replayed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..core import registry
from ..core.contracts import Optimizer, Proposal, Told
from ..core.errors import OptimizerError
from ..core.genome import Genome
from ..core.recipe import Recipe
from ..core.seeds import derived_seed
from ..core.study_spec import StudySpec
from ..storage import AskRecord, CandidateRecord, NewProposal, Store, ToldRecord
from .level_record import recorded_levels


class RecordedOptimizer:
    """Made anew from the study's seed and starts; asked and told again what is recorded, it goes on as it would have.

    Args:
        key: the key of the evaluation that is to be queued with a new proposal; None if none is yet.
    """

    def __init__(self, spec: StudySpec, study_id: str, store: Store, key: Callable[[Recipe], str | None]) -> None:
        self._spec = spec
        self._study_id = study_id
        self._store = store
        self._key = key
        self._merge_seed = derived_seed(spec.seed, "merge")
        plugin: type[Optimizer] = registry.load("optimizers", spec.optimizer)
        seed = derived_seed(spec.seed, "optimizer")
        options = dict(spec.optimizer_options)
        known = recorded_levels(study_id, store) if plugin.takes_first or plugin.takes_errors else None
        if plugin.takes_first and known is not None and known.starts:
            options["first"] = [*options.get("first", ()), *(start.genome for start in known.starts)]
        if plugin.takes_errors and known is not None:
            options["errors"] = known.errors
        self._optimizer = plugin(spec.space.genes, spec.directions, seed, **options)

    def steady_state(self) -> None:
        """Before the first ask: results are told one by one. Raises OptimizerError if it cannot do with that."""
        self._optimizer.steady_state()

    def ask(self, ask_no: int, n: int, tells_before: int | None = None) -> list[CandidateRecord]:
        """New proposals, between 1 and `n`, recorded; a candidate for each.

        Args:
            tells_before: see `Asks.record`.
        """
        proposals = [self._decoded(proposal) for proposal in self._optimizer.ask(n)]
        return self._store.asks.record(self._study_id, ask_no, proposals, tells_before=tells_before)

    def replay(self, ask: AskRecord) -> None:
        """Asks once more.

        Raises:
            OptimizerError: it proposes something else than is recorded.
        """
        recorded = [candidate.genome for candidate in ask.candidates]
        proposed: list[Genome | None] = [proposal.genome for proposal in self._optimizer.ask(len(recorded))]
        if recorded != proposed:
            raise OptimizerError(
                f"replayed, the optimizer {self._spec.optimizer!r} proposes other genomes in ask {ask.number} than are "
                "recorded: an installed version has changed since. Install the recorded versions (`heterosis status` "
                "lists them), or start a new study"
            )

    def tell(self, candidates: Sequence[CandidateRecord], told: Sequence[ToldRecord | None]) -> None:
        """What became of the candidates of an ask (None: it failed), in its order."""
        self._optimizer.tell([_told(*pair) for pair in zip(candidates, told, strict=True)])

    def _decoded(self, proposal: Proposal) -> NewProposal:
        recipe = self._spec.space.decode(proposal.genome, self._merge_seed)
        return NewProposal(
            proposal.genome,
            recipe.to_dict(),
            recipe.hash,
            self._key(recipe),
            proposal.operator,
            tuple(proposal.parents),
        )


def _told(candidate: CandidateRecord, told: ToldRecord | None) -> Told:
    assert candidate.number is not None
    assert candidate.genome is not None
    if told is None:
        return Told(candidate.number, candidate.genome, None)
    return Told(candidate.number, candidate.genome, told.values, told.errors)
