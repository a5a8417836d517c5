"""The local executor: evaluates in this process, on one device, several candidates together where they allow it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NoReturn

from ..core.contracts import Executor
from ..core.errors import CheckpointError, ConfigurationError, EvaluationError, MaterialiseError, StorageError
from ..core.recipe import Recipe
from ..fitness.evaluator import Evaluation, Evaluator
from ..storage import EvaluationRecord, ItemSet, Responses, Store, this_process

LEASE_SECONDS = 3600.0
"""Nobody extends it while this process computes; that the process has died is seen at once on its own host."""

TOGETHER = 8
"""How many evaluations in a row may be computed together; their results are recorded when all of them are there."""

_FAILURES = {MaterialiseError: "weights", EvaluationError: "scores", MemoryError: "memory"}


class LocalExecutor(Executor):
    """Claims each evaluation in the database, evaluates it here, and records what came of it in one transaction.

    A candidate that fails is recorded with its reason; what concerns all candidates (a checkpoint gone, a database
    that refuses) is raised. An interruption hands the evaluation back, unfinished.

    Which evaluations are computed together depends on nothing but the ids given: those that are over already are
    computed again in company if one of their group is not, because rounding may depend on the company, and a search
    that was interrupted must go on as if it had not been.
    """

    def __init__(self, store: Store, evaluator: Evaluator) -> None:
        self._store = store
        self._evaluator = evaluator
        self._owner = this_process()
        self._group: list[str] = []
        self._found: dict[str, Evaluation | None] = {}

    def run(self, evaluation_ids: Sequence[str]) -> Iterator[str]:
        """Evaluates in groups, and records one after the other; yields each id when its result is recorded."""
        for first in range(0, len(evaluation_ids), TOGETHER):
            self._group, self._found = list(evaluation_ids[first : first + TOGETHER]), {}
            for evaluation_id in self._group:
                record = self._store.queue.get(evaluation_id)
                if record.state in ("queued", "running"):
                    self._run(record)
                yield evaluation_id

    def _run(self, record: EvaluationRecord) -> None:
        try:
            attempt = self._store.queue.claim(record.id, self._owner, LEASE_SECONDS)
            if attempt is not None:
                self._record(record, attempt)
                return
        except BaseException:
            self._hand_back(record.id)
            raise
        self._explain(record)

    def _record(self, record: EvaluationRecord, attempt: int) -> None:
        try:
            evaluation = self._evaluate(record)
        except (CheckpointError, ConfigurationError, StorageError):
            raise
        except Exception as error:  # a plugin may fail in any way; the study goes on
            kind = next((word for kind, word in _FAILURES.items() if isinstance(error, kind)), "plugin")
            reason = str(error) if kind != "plugin" else repr(error)
            self._store.results.fail(record.id, attempt, kind, reason)
            return
        responses = [
            Responses(name, ItemSet.of(group.task.rule, group.items), evaluation.scores[name])
            for name, group in self._evaluator.asked(record.stage, record.items).items()
        ]
        self._store.results.finish(record.id, attempt, responses, evaluation.measured, evaluation.seconds)

    def _hand_back(self, evaluation_id: str) -> None:
        """Asks the database what is held: an interruption may have come before the number of the attempt was known."""
        held = self._store.queue.get(evaluation_id)
        if held.state == "running" and held.lease_owner == self._owner:
            self._store.queue.release(held.id, held.attempt)

    def _evaluate(self, record: EvaluationRecord) -> Evaluation:
        recipe = self._recipe(record)
        earlier = self._earlier(record)
        if earlier is not None:
            return earlier
        known = self._store.results.find_responses(record.eval_key, besides=record.id)
        if known is None:
            return self._in_company(record) or self._evaluator.evaluate(recipe, record.stage, record.items)
        scores = {name: answered.scores for name, answered in known.items()}
        measured = self._evaluator.measure(recipe, record.stage, scores) if record.items is None else {}
        return Evaluation(scores, measured, {})

    def _earlier(self, record: EvaluationRecord) -> Evaluation | None:
        """What came of it if the candidate has answered all of these items in other parts; None if not."""
        if record.items is None:
            return None
        answered = {
            task: dict(zip(responses.item_set.item_ids, responses.scores, strict=True))
            for task, responses in self._store.results.responses(record.candidate_id, record.stage).items()
        }
        if any(id_ not in answered.get(task, ()) for task, ids in record.items.items() for id_ in ids):
            return None
        scores = {task: tuple(answered[task][id_] for id_ in ids) for task, ids in record.items.items()}
        return Evaluation(scores, {}, {})

    def _in_company(self, record: EvaluationRecord) -> Evaluation | None:
        """What came of it when its group was computed together, which is now if it has not been; None if nothing."""
        if record.stage != "search":  # later stages have many items for few candidates, where company gains nothing
            return None
        if not self._found and len(self._group) > 1:
            records = [self._store.queue.get(evaluation_id) for evaluation_id in self._group]
            if any(other.items != record.items for other in records):
                return None
            recipes = [self._recipe(other) for other in records]
            found = self._evaluator.evaluate_together(recipes, record.stage, record.items)
            self._found = dict(zip(self._group, found, strict=True))
        return self._found.get(record.id)

    def _recipe(self, record: EvaluationRecord) -> Recipe:
        return Recipe.from_dict(self._store.candidates.get(record.candidate_id).recipe)

    def _explain(self, record: EvaluationRecord) -> NoReturn:
        holder = self._store.queue.get(record.id).lease_owner
        raise StorageError(
            f"another process ({holder or 'unknown'}) is evaluating this study; let it finish, or end it and resume"
        )
