"""A resident model that answers for several candidates at once: each batch mixes their rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from .first_request import FirstRequest
from .forward import edge_log_likelihoods
from .forward_schedule import Forest, ForwardSchedule, Request, repeated
from .generation import continue_greedily
from .low_rank_rows import LowRankRows
from .transformers_model import TransformersModel


class PopulationModel(TransformersModel):
    """What a task asks of one candidate is answered for all of them in the same forward passes, and kept for them.

    Only what the first of `candidates` asks is answered for all: a task that asks others something else (because of
    earlier answers, say) is answered for each alone.

    Args:
        model: holds the base.
        rows: the low-rank changes that make candidates of it.

    Attributes:
        candidates: who are asked, by number (see `LowRankRows.set`), in the order they will be.
        candidate: who is asked now.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        rows: LowRankRows,
        batch_tokens: int | None = None,
    ) -> None:
        super().__init__(model, tokenizer, batch_tokens)
        self._rows = rows
        self.candidates: list[int] = []
        self.candidate = 0
        self._answering: list[int] = []
        self._figures_of: dict[object, dict[int, npt.NDArray[np.float64]]] = {}
        self._texts_of: dict[object, dict[int, list[str]]] = {}

    def ask(self, candidates: list[int]) -> None:
        """From now on it is these who are asked; what was kept of others is forgotten."""
        self.candidates = candidates
        self._figures_of.clear()
        self._texts_of.clear()

    def foresee(self, questions: Sequence[tuple[tuple[str, tuple[str, ...]], ...]]) -> None:
        """Answers, in the same forward passes, what several calls of `choice_log_likelihoods` are going to ask."""
        asked = [tuple(request for request in question if request[1]) for question in questions]
        whole = tuple(request for question in asked for request in question)
        if len(asked) < 2 or not whole:
            return
        self.candidate = self.candidates[0]
        self._run("choices", whole, lambda: [self._request(*request) for request in whole])
        ends = np.cumsum([sum(len(continuations) for _, continuations in question) for question in asked])
        for candidate, figures in self._figures_of["choices", whole].items():
            for question, part in zip(asked, np.split(figures, ends[:-1]), strict=True):
                self._figures_of.setdefault(("choices", question), {})[candidate] = part

    def tokens(self, first: FirstRequest) -> int:
        """How many tokens a first request has, those shared within it counted again and again."""
        starts = [(self._tokens.prompt(prompt), prompt, rest) for prompt, rest in first.choices if rest]
        ends = (len(self._tokens.continuation(text, prompt)) for _, prompt, rest in starts for text in rest)
        texts = (len(self._tokens.prompt(text)) for text in first.texts)
        return sum(len(start) for start, _, _ in starts) + sum(ends) + sum(texts)

    def _run(
        self, kind: str, key: tuple[object, ...], requests: Callable[[], Sequence[Request]]
    ) -> npt.NDArray[np.float64]:
        known = self._figures_of.setdefault((kind, key), {})
        if self.candidate not in known:
            self._answering = self._together()
            figures = super()._run(kind, (len(self._answering), key), requests)
            known.update(zip(self._answering, np.split(figures, len(self._answering)), strict=True))
        return known[self.candidate]

    def _scheduled(self, forest: Forest, device: torch.device, batch_tokens: int) -> ForwardSchedule:
        return ForwardSchedule(repeated(forest, len(self._answering)), device, batch_tokens, even=True)

    def _figures(self, schedule: ForwardSchedule) -> npt.NDArray[np.float64]:
        with self._rows.attached():
            return schedule.run(
                partial(edge_log_likelihoods, self.model), self._entering(sum(map(len, schedule.members)))
            )

    def _continue(
        self, prompts: Sequence[Sequence[int]], max_tokens: int, stop: tuple[str, ...], room: int
    ) -> list[str]:
        known = self._texts_of.setdefault((tuple(prompts), max_tokens, stop), {})
        if self.candidate not in known:
            self._answering = self._together()
            asked = [prompt for _ in self._answering for prompt in prompts]
            with self._rows.attached():
                enter = self._entering(len(asked))
                texts = continue_greedily(self.model, self.tokenizer, asked, max_tokens, stop, room, enter)
            for place, candidate in enumerate(self._answering):
                known[candidate] = texts[place * len(prompts) : (place + 1) * len(prompts)]
        return known[self.candidate]

    def _together(self) -> list[int]:
        return list(self.candidates) if self.candidate == self.candidates[0] else [self.candidate]

    def _entering(self, rows: int) -> Callable[[Sequence[int]], None]:
        """Tells whose each row of a batch is; there are so many rows in all, those of a candidate side by side."""
        each = rows // len(self._answering)
        return lambda numbers: self._rows.enter([self._answering[number // each] for number in numbers])
