"""A resident transformers model that answers what tasks ask; its weights may change between calls."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..core.contracts.language_model import LanguageModel
from ..core.errors import ConfigurationError, EvaluationError
from .batch import Batch
from .divergence import Expectations, ExpectationsCache
from .forward import edge_log_likelihoods, node_logits
from .forward_schedule import Forest, ForwardSchedule, Request, line_up, plant
from .generation import continue_greedily
from .prefix_reuse import PrefixReuse
from .schedule_cache import ScheduleCache
from .token_cache import TokenCache, short
from .tree_attention import deepest_tree, reads_trees

_SCHEDULE_BYTES = 256 << 20
_EXPECTATIONS_BYTES = 256 << 20
_GENERATION_TOKENS = 2048
_LEAST_BATCH = 64
_LOGITS = 1 << 30
"""How many logits may exist at a time where the batch size is left to us (2 GiB in bfloat16)."""


class TransformersModel(LanguageModel):
    """Scores and generates with a causal model of the transformers library, on its device and in its dtype.

    What depends on the requests alone (tokens, trees, batches) is kept and used again, so that the next candidate in
    the same model object pays for its forward passes only. Deterministic: the same weights and the same calls give
    the same floats.

    Args:
        model: a causal language model; it is put into evaluation mode.
        tokenizer: the one it was trained with.
        batch_tokens: tokens per forward pass, padding included (a longer sequence is run by itself). By default
            512 on the CPU, and elsewhere 8192 or fewer if the vocabulary is large.

    Attributes:
        answered: called while log-likelihoods are computed, with the share of the call's batches that are, in [0, 1].
        prefixes: leaves out of forward passes what is known of them; None if all of each is computed.
        references: what `divergences` may be asked for, and the identity (see `remember`) of the model that it is now.

    Raises:
        ConfigurationError: `batch_tokens` is not positive.
    """

    answered: Callable[[float], None]
    references: Mapping[str, str]

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, batch_tokens: int | None = None
    ) -> None:
        if batch_tokens is not None and batch_tokens < 1:
            raise ConfigurationError(f"batch_tokens is {batch_tokens}; it must be at least 1")
        self.model = model
        self.tokenizer = tokenizer
        self.answered = lambda _share: None
        self.references = {}
        self.prefixes: PrefixReuse | None = None
        self._batch_tokens = batch_tokens
        self._tokens = TokenCache(model, tokenizer)
        self._schedules = ScheduleCache(_SCHEDULE_BYTES)
        self._expectations = ExpectationsCache(_EXPECTATIONS_BYTES)
        self._reads_trees: bool | None = None
        model.eval()  # type: ignore[no-untyped-call]

    @property
    def batch_tokens(self) -> int:
        """Tokens per forward pass, padding included."""
        if self._batch_tokens is not None:
            return self._batch_tokens
        if self.model.device.type == "cpu":
            return 512
        return max(min(8192, _LOGITS // int(self.model.config.get_text_config().vocab_size)), 512)

    def halve_batch(self) -> bool:
        """From now on half as many tokens a pass, because memory ran out; False if they are so few that it is no use.

        Rounding may depend on the batch, so the last bits of scores may differ from those in larger batches.
        """
        if self.batch_tokens <= _LEAST_BATCH:
            return False
        self._batch_tokens = max(self.batch_tokens // 2, _LEAST_BATCH)
        self._schedules = ScheduleCache(_SCHEDULE_BYTES)
        if self.prefixes is not None:
            self.prefixes.forget()
        return True

    def choice_log_likelihoods(self, requests: Sequence[tuple[str, Sequence[str]]]) -> list[list[float]]:
        """For each (prompt, continuations): log P(continuation | prompt) of every continuation, in order.

        Raises:
            EvaluationError: a prompt or continuation is empty or too long, or a figure is not finite.
        """
        counts = [len(continuations) for _, continuations in requests]
        if not sum(counts):
            return [[] for _ in requests]
        asked = [(prompt, tuple(continuations)) for prompt, continuations in requests if continuations]
        figures = self._run("choices", tuple(asked), lambda: [self._request(*request) for request in asked])
        _check_finite(figures, [prompt for prompt, continuations in asked for _ in continuations])
        return [part.tolist() for part in np.split(figures, np.cumsum(counts)[:-1])]

    def text_log_likelihoods(self, texts: Sequence[str]) -> list[tuple[float, int]]:
        """For each text: log-likelihood of its tokens after the first, and how many those are.

        Raises:
            EvaluationError: a text is empty or too long, or a figure is not finite.
        """
        requests = self._text_requests(texts)
        figures = self._run("texts", tuple(texts), lambda: list(requests.values())) if requests else np.empty(0)
        return _of_texts(texts, requests, figures)

    def divergences(self, texts: Sequence[str], reference: str, top: int) -> list[tuple[float, int]]:
        """For each text: how far the model is from the reference, and its number of tokens after the first.

        See `LanguageModel.divergences`; `remember` must have seen the same texts when the reference was resident.

        Raises:
            EvaluationError: it has not, or a text is empty or too long, or a figure is not finite.
        """
        requests = self._text_requests(texts)
        if not requests:
            return [(0.0, 0)] * len(texts)
        expected = self._expectations.get((self.references.get(reference), tuple(texts), top))
        if expected is None:
            raise EvaluationError(
                f"nothing is known of what the reference {reference!r} expects; in a study, say `merge`, `base` or the "
                "label of a source"
            )
        schedule = self._schedule("texts", tuple(texts), lambda: list(requests.values()), False)
        places = iter(schedule.places)

        def read(batch: Batch) -> torch.Tensor:
            part = expected.at(next(places)).to(batch.sources.device)
            return part.divergence(self._logits(batch))

        return _of_texts(texts, requests, self._read(schedule, read))

    def knows(self, identity: str, texts: Sequence[str], top: int) -> bool:
        """Whether `remember` has seen these texts, and it is not forgotten."""
        return self._expectations.get((identity, tuple(texts), top)) is not None

    def remember(self, identity: str, texts: Sequence[str], top: int) -> None:
        """Keeps what the resident model expects after each token of the texts, for others to be compared with.

        Args:
            identity: of the resident model; the same means the same weights.

        Raises:
            EvaluationError: a text is empty or too long.
        """
        requests = self._text_requests(texts)
        if not requests or self.knows(identity, texts, top):
            return
        schedule = self._schedule("texts", tuple(texts), lambda: list(requests.values()), False)
        parts = []
        for batch in schedule.batches:
            with self._from_prefix(batch, schedule):
                parts.append(Expectations.of(self._logits(batch), top).to(torch.device("cpu")))
        back = torch.argsort(torch.cat(schedule.places))
        self._expectations.keep((identity, tuple(texts), top), Expectations.joined(parts).at(back))

    def forget(self, kept: int) -> None:
        """Keeps within memory what `remember` keeps, but for the `kept` that were used last."""
        self._expectations.shrink(kept)

    def generate(self, prompts: Sequence[str], max_tokens: int, stop: Sequence[str] = ()) -> list[str]:
        """Greedy continuation of each prompt: at most `max_tokens` tokens, cut before the first of `stop`.

        It also ends at an end-of-sequence token. Penalties and sampling in the checkpoint's generation settings are
        not applied.

        Raises:
            EvaluationError: a prompt is empty, or has no room for `max_tokens` more tokens in the model.
            ConfigurationError: `max_tokens` is not positive, or a stop string is empty.
        """
        if max_tokens < 1:
            raise ConfigurationError(f"max_tokens is {max_tokens}; it must be at least 1")
        if not all(stop):
            raise ConfigurationError("a stop string is empty; it would end every text before it begins")
        sequences = [self._tokens.prompt(prompt) for prompt in prompts]
        for prompt, sequence in zip(prompts, sequences, strict=True):
            self._tokens.check_length(len(sequence) + max_tokens, prompt)
        # a pass that adds one token to each row costs the same for few rows as for many
        room = self._batch_tokens or max(self.batch_tokens, _GENERATION_TOKENS)
        return self._continue(sequences, max_tokens, tuple(stop), room)

    def _text_requests(self, texts: Sequence[str]) -> dict[int, Request]:
        """By their places among the texts, those that have something to foresee."""
        sequences = [self._tokens.prompt(text) for text in texts]
        for text, sequence in zip(texts, sequences, strict=True):
            self._tokens.check_length(len(sequence), text)
        return {index: (sequence[:1], [sequence[1:]]) for index, sequence in enumerate(sequences) if len(sequence) > 1}

    def _request(self, prompt: str, continuations: Sequence[str]) -> Request:
        start = self._tokens.prompt(prompt)
        tokens = [self._tokens.continuation(text, prompt) for text in continuations]
        self._tokens.check_length(len(start) + max(map(len, tokens)), prompt)
        return start, tokens

    def _run(
        self, kind: str, key: tuple[object, ...], requests: Callable[[], Sequence[Request]]
    ) -> npt.NDArray[np.float64]:
        trees = kind == "choices" and self._reads_trees is not False
        schedule = self._schedule(kind, key, requests, trees)
        if schedule.has_branches and self._reads_trees is None:
            self._reads_trees = reads_trees(self.model)
            if self._reads_trees is False:
                schedule = self._schedule(kind, key, requests, False)
        return self._figures(schedule)

    def _schedule(
        self, kind: str, key: tuple[object, ...], requests: Callable[[], Sequence[Request]], trees: bool
    ) -> ForwardSchedule:
        device, batch_tokens = self.model.device, self.batch_tokens

        def make() -> ForwardSchedule:
            forest = plant(requests(), deepest_tree(self.model), batch_tokens) if trees else line_up(requests())
            return self._scheduled(forest, device, batch_tokens)

        return self._schedules.get((kind, key, trees, device, batch_tokens), make)

    def _scheduled(self, forest: Forest, device: torch.device, batch_tokens: int) -> ForwardSchedule:
        return ForwardSchedule(forest, device, batch_tokens)

    def _figures(self, schedule: ForwardSchedule) -> npt.NDArray[np.float64]:
        return self._read(schedule, partial(edge_log_likelihoods, self.model))

    def _read(self, schedule: ForwardSchedule, read: Callable[[Batch], torch.Tensor]) -> npt.NDArray[np.float64]:
        done = itertools.count()

        def read_from_prefix(batch: Batch) -> torch.Tensor:
            with self._from_prefix(batch, schedule):
                return read(batch)

        return schedule.run(read_from_prefix, lambda _trees: self.answered(next(done) / len(schedule.batches)))

    def _from_prefix(self, batch: Batch, schedule: ForwardSchedule) -> AbstractContextManager[None]:
        return nullcontext() if self.prefixes is None else self.prefixes.within(batch, len(schedule.batches))

    def _logits(self, batch: Batch) -> torch.Tensor:
        """At each edge of the batch; shape (E, vocabulary)."""
        return node_logits(self.model, batch)[batch.sources]

    def _continue(
        self, prompts: Sequence[Sequence[int]], max_tokens: int, stop: tuple[str, ...], room: int
    ) -> list[str]:
        return continue_greedily(self.model, self.tokenizer, prompts, max_tokens, stop, room)


def _of_texts(
    texts: Sequence[str], requests: Mapping[int, Request], figures: npt.NDArray[np.float64]
) -> list[tuple[float, int]]:
    _check_finite(figures, [texts[index] for index in requests])
    answers = [(0.0, 0)] * len(texts)
    for (index, (_, (rest,))), figure in zip(requests.items(), figures.tolist(), strict=True):
        answers[index] = figure, len(rest)
    return answers


def _check_finite(figures: npt.NDArray[np.float64], items: Sequence[str]) -> None:
    wrong = np.flatnonzero(~np.isfinite(figures))
    if wrong.size:
        raise EvaluationError(f"scores turned NaN or infinite, first on the item {short(items[int(wrong[0])])}")
