"""Population evaluation: candidates that are one base plus multiples of adapters' changes are asked together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import NamedTuple, TypeAlias

from ..core.checkpoints.adapter import AdapterCheckpoint
from ..core.contracts import LanguageModel
from ..core.errors import EvaluationError, MaterialiseError
from ..core.executors import LiveExecutor
from ..core.plan import Plan, plan
from ..core.recipe import Recipe
from ..core.space import Space
from .first_request import FirstRequest
from .item_sets import StagedItems
from .low_rank import Coefficients, coefficients
from .low_rank_rows import LowRankRows
from .population_model import PopulationModel
from .transformers_model import TransformersModel

_TOKENS = 4096
"""With more tokens than this to be read for each candidate, low-rank terms cost more than the merge they save."""

Score: TypeAlias = Callable[[str, StagedItems, LanguageModel], tuple[float, ...]]
"""Asks a model the items of the task of this name, and checks the scores."""


class Asked(NamedTuple):
    """A candidate's plan, and its scores on each task."""

    plan: Plan
    scores: dict[str, tuple[float, ...]]


class Population:
    """Asks several candidates together, in the model that also holds one candidate at a time.

    Args:
        resident: makes the live executor and its model; called when they are needed first, for that takes seconds.
    """

    def __init__(self, space: Space, resident: Callable[[], tuple[LiveExecutor, TransformersModel]]) -> None:
        self._space = space
        self._resident = resident

    @property
    def has_adapters(self) -> bool:
        """Whether there is a source that can be a low-rank change of the base."""
        return bool(self._adapters)

    def ask(self, recipes: Sequence[Recipe], items: Mapping[str, StagedItems], score: Score) -> dict[int, Asked]:
        """What the candidates answered, by their places in `recipes`.

        Left out are those that are no base plus low-rank changes, those that fail in any way, and all of them if there
        are no two to ask together.
        """
        if any(group.task.reference is not None for group in items.values()):
            return {}  # what candidates are compared with may be a model of their own
        members = self._members(recipes) if self._adapters else {}
        if len(members) < 2 or not self._rows.complete:
            return {}
        try:
            first = [FirstRequest(group) for group in items.values()]
            if sum(map(self._model.tokens, first)) > _TOKENS:
                return {}
            self._resident()[0].materialise(self._base)
        except (EvaluationError, MaterialiseError):
            return {}
        self._rows.set([found for _, found in members.values()])
        asked = [Asked(planned, {}) for planned, _ in members.values()]
        sound = list(range(len(members)))
        self._model.ask(sound)
        with suppress(Exception):  # whatever it is, it comes again below and is known to be whose
            self._model.foresee([request.choices for request in first if request.choices])
        for name, group in items.items():
            for candidate in tuple(sound):
                self._model.candidate = candidate
                try:
                    asked[candidate].scores[name] = score(name, group, self._model)
                except Exception:  # asked again alone, it fails for its own sake, and with its own reason
                    sound.remove(candidate)
        return {number: asked[place] for place, number in enumerate(members) if place in sound}

    def _members(self, recipes: Sequence[Recipe]) -> dict[int, tuple[Plan, Coefficients]]:
        members: dict[int, tuple[Plan, Coefficients]] = {}
        for number, recipe in enumerate(recipes):
            with suppress(Exception):  # as above
                planned = plan(recipe, self._space.checkpoints)
                found = coefficients(planned, self._base)
                if found is not None:
                    members[number] = planned, found
        return members

    @cached_property
    def _adapters(self) -> dict[str, AdapterCheckpoint]:
        return {
            reference: checkpoint
            for reference, checkpoint in self._space.checkpoints.items()
            if isinstance(checkpoint, AdapterCheckpoint)
        }

    @cached_property
    def _base(self) -> Plan:
        return plan(self._space.references()["base"], self._space.checkpoints)

    @cached_property
    def _rows(self) -> LowRankRows:
        return LowRankRows(self._resident()[1].model, self._adapters)

    @cached_property
    def _model(self) -> PopulationModel:
        alone = self._resident()[1]
        return PopulationModel(alone.model, alone.tokenizer, self._rows)
