"""The search loop: ask, record, score, tell; and the replay by which an interrupted search goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..core import registry
from ..core.contracts import Optimizer, Proposal, Told
from ..core.errors import OptimizerError
from ..core.genome import Genome
from ..core.seeds import derived_seed
from ..core.study_spec import StudySpec
from ..storage import AskRecord, CandidateRecord, NewProposal, Store, ToldRecord
from .scoring import Scoring


class SearchLoop:
    """Runs a study's search up to a number of proposals.

    The database is the only state: the optimizer is made anew from its seed, asked and told again what is recorded, and
    then goes on. The same seed and the same results give the same next candidates.
    """

    def __init__(self, spec: StudySpec, study_id: str, store: Store, scoring: Scoring) -> None:
        self._spec = spec
        self._study_id = study_id
        self._store = store
        self._scoring = scoring
        self._merge_seed = derived_seed(spec.seed, "merge")

    def run(self, proposals: int, evaluated: Callable[[], None] = lambda: None) -> None:
        """Evaluates until `proposals` have been made in all; `evaluated` is called after each evaluation.

        Raises:
            OptimizerError: the optimizer proposes something else than is recorded.
            HeterosisError: what concerns all candidates; what concerns one is recorded with it.
        """
        optimizer = self._optimizer()
        recorded = self._store.asks.all(self._study_id)
        ask_no = made = 0
        self._scoring.begin(evaluated)
        while made < proposals or ask_no < len(recorded):
            known: Sequence[ToldRecord | None] | None = None
            if ask_no < len(recorded):
                ask = recorded[ask_no]
                self._check_replay(ask, optimizer.ask(len(ask.candidates)))
                candidates: Sequence[CandidateRecord] = ask.candidates
                known = ask.told
            else:
                candidates = self._record(ask_no, optimizer.ask(proposals - made))
            told = known if known is not None else self._scoring.score(ask_no, candidates, evaluated)
            optimizer.tell([_told(*pair) for pair in zip(candidates, told, strict=True)])
            self._store.asks.mark_told(self._study_id, ask_no, told)
            self._scoring.settle(ask_no, candidates, told, evaluated)
            made += len(candidates)
            ask_no += 1
        self._scoring.finish(evaluated)

    def _optimizer(self) -> Optimizer:
        plugin: type[Optimizer] = registry.load("optimizers", self._spec.optimizer)
        seed = derived_seed(self._spec.seed, "optimizer")
        return plugin(self._spec.space.genes, self._spec.directions, seed, **self._spec.optimizer_options)

    def _record(self, ask_no: int, proposals: Sequence[Proposal]) -> list[CandidateRecord]:
        return self._store.asks.record(self._study_id, ask_no, [self._decoded(proposal) for proposal in proposals])

    def _decoded(self, proposal: Proposal) -> NewProposal:
        recipe = self._spec.space.decode(proposal.genome, self._merge_seed)
        key = self._scoring.key(recipe)
        return NewProposal(
            proposal.genome, recipe.to_dict(), recipe.hash, key, proposal.operator, tuple(proposal.parents)
        )

    def _check_replay(self, ask: AskRecord, proposals: Sequence[Proposal]) -> None:
        recorded = [candidate.genome for candidate in ask.candidates]
        proposed: list[Genome | None] = [proposal.genome for proposal in proposals]
        if recorded != proposed:
            raise OptimizerError(
                f"replayed, the optimizer {self._spec.optimizer!r} proposes other genomes in ask {ask.number} than are "
                "recorded: an installed version has changed since. Install the recorded versions (`heterosis status` "
                "lists them), or start a new study"
            )


def _told(candidate: CandidateRecord, told: ToldRecord | None) -> Told:
    assert candidate.number is not None
    assert candidate.genome is not None
    if told is None:
        return Told(candidate.number, candidate.genome, None)
    return Told(candidate.number, candidate.genome, told.values, told.errors)
