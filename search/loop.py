"""The search loop: ask, record, evaluate, tell; and the replay by which an interrupted search goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set

from ..core import registry
from ..core.contracts import Executor, Optimizer, Proposal, Told
from ..core.errors import OptimizerError
from ..core.genome import Genome
from ..core.seeds import derived_seed
from ..core.study_spec import StudySpec
from ..storage import AskRecord, CandidateRecord, NewProposal, Store
from .eval_keys import EvaluationKeys
from .ranking import values_of


class SearchLoop:
    """Runs a study's search up to a number of proposals.

    The database is the only state: the optimizer is made anew from its seed, asked and told again what is recorded, and
    then goes on. The same seed and the same results give the same next candidates.
    """

    def __init__(self, spec: StudySpec, study_id: str, store: Store, executor: Executor, keys: EvaluationKeys) -> None:
        self._spec = spec
        self._study_id = study_id
        self._store = store
        self._executor = executor
        self._keys = keys
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
        earlier: set[str] = set()
        while made < proposals or ask_no < len(recorded):
            if ask_no < len(recorded):
                ask = recorded[ask_no]
                self._check_replay(ask, optimizer.ask(len(ask.candidates)))
                candidates: Sequence[CandidateRecord] = ask.candidates
            else:
                candidates = self._record(ask_no, optimizer.ask(proposals - made))
            told = self._evaluated(candidates, earlier, evaluated)
            earlier |= {candidate.id for candidate in candidates}
            optimizer.tell(told)
            self._store.asks.mark_told(self._study_id, ask_no)
            made += len(candidates)
            ask_no += 1

    def _optimizer(self) -> Optimizer:
        plugin: type[Optimizer] = registry.load("optimizers", self._spec.optimizer)
        seed = derived_seed(self._spec.seed, "optimizer")
        return plugin(self._spec.space.genes, self._spec.directions, seed, **self._spec.optimizer_options)

    def _record(self, ask_no: int, proposals: Sequence[Proposal]) -> list[CandidateRecord]:
        return self._store.asks.record(self._study_id, ask_no, [self._decoded(proposal) for proposal in proposals])

    def _decoded(self, proposal: Proposal) -> NewProposal:
        recipe = self._spec.space.decode(proposal.genome, self._merge_seed)
        key = self._keys.key(recipe, "search")
        return NewProposal(
            proposal.genome, recipe.to_dict(), recipe.hash, key, proposal.operator, tuple(proposal.parents)
        )

    def _evaluated(
        self, candidates: Sequence[CandidateRecord], earlier: Set[str], evaluated: Callable[[], None]
    ) -> list[Told]:
        searches = {candidate.id: candidate.evaluations["search"] for candidate in candidates}
        waiting = {key: search.id for key, search in searches.items() if search.state in ("queued", "running")}
        if waiting:
            # with those that are over, so that an executor meets the same company however often it is resumed
            company = [search.id for key, search in searches.items() if key in waiting or key not in earlier]
            for evaluation_id in self._executor.run(company):
                if evaluation_id in waiting.values():
                    evaluated()
        results = {candidate.id: candidate for candidate in candidates}
        results |= {candidate_id: self._store.candidates.get(candidate_id) for candidate_id in waiting}
        return [self._told(results[candidate.id]) for candidate in candidates]

    def _told(self, candidate: CandidateRecord) -> Told:
        assert candidate.number is not None
        assert candidate.genome is not None
        return Told(candidate.number, candidate.genome, values_of(candidate, self._spec.objectives))

    def _check_replay(self, ask: AskRecord, proposals: Sequence[Proposal]) -> None:
        recorded = [candidate.genome for candidate in ask.candidates]
        proposed: list[Genome | None] = [proposal.genome for proposal in proposals]
        if recorded != proposed:
            raise OptimizerError(
                f"replayed, the optimizer {self._spec.optimizer!r} proposes other genomes in ask {ask.number} than are "
                "recorded: an installed version has changed since. Install the recorded versions (`heterosis status` "
                "lists them), or start a new study"
            )
