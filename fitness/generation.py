"""Greedy text: prompts in batches, each continued as if it were alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessor, PreTrainedModel, PreTrainedTokenizerBase, StoppingCriteria

from ..core.errors import EvaluationError
from .batch import groups
from .token_cache import short


@torch.inference_mode()
def continue_greedily(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    max_tokens: int,
    stop: Sequence[str],
    batch_tokens: int,
    enter: Callable[[Sequence[int]], None] = lambda _prompts: None,
) -> list[str]:
    """The most likely token after each prompt, again and again, as text.

    A text ends after `max_tokens` tokens, before the first of `stop`, or at an end-of-sequence token.

    Args:
        prompts: token ids, at least one each.
        stop: no empty strings.
        batch_tokens: how many tokens, prompts and continuations, are held in the cache at a time.
        enter: called before each batch with the places of its rows' prompts.

    Raises:
        EvaluationError: the model's logits turned NaN.
    """
    texts = [""] * len(prompts)
    ends = end_tokens(model, tokenizer)
    for group in groups([len(prompt) + max_tokens for prompt in prompts], batch_tokens):
        members = [prompts[index] for index in group]
        width = max(map(len, members))
        # padding goes to the left, so that every row's next token comes in the same column
        tokens = torch.tensor([[0] * (width - len(member)) + list(member) for member in members], device=model.device)
        mask = torch.tensor([[0] * (width - len(m)) + [1] * len(m) for m in members], device=model.device)

        def text_of(row: int, generated: Sequence[int], members: Sequence[Sequence[int]] = members) -> str:
            return _text(tokenizer, members[row][-1], generated, ends)

        settings = GenerationConfig(  # type: ignore[no-untyped-call]
            max_new_tokens=max_tokens,
            do_sample=False,
            use_cache=True,
            eos_token_id=sorted(ends) or None,
            pad_token_id=0,
        )
        criteria = [_StopStrings(text_of, width, stop)] if stop else []
        enter(group)
        guard = _RefuseNan([_decode(tokenizer, member) for member in members])
        with _generation_config(model, settings):
            output = model.generate(  # type: ignore[operator]
                tokens,
                attention_mask=mask,
                generation_config=settings,
                logits_processor=[guard],
                stopping_criteria=criteria,
            )
        for row, (index, generated) in enumerate(zip(group, output[:, width:].tolist(), strict=True)):
            texts[index] = cut(text_of(row, generated), stop)
    return texts


def cut(text: str, stop: Sequence[str]) -> str:
    """What comes before the first place where one of `stop` begins."""
    return text[: min((place for mark in stop if (place := text.find(mark)) >= 0), default=len(text))]


def end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """The token ids that end a text, by the model's settings or the tokenizer's (chat models have several)."""
    named: list[Any] = [tokenizer.eos_token_id]
    for settings in (model.generation_config, model.config.get_text_config()):
        value = getattr(settings, "eos_token_id", None)
        named.extend(value if isinstance(value, list | tuple) else [value])
    return {token for token in named if token is not None}


class _RefuseNan(LogitsProcessor):
    """Raises on NaN, of which a likeliest token would be taken otherwise: the text would look like an answer."""

    def __init__(self, items: Sequence[str]) -> None:
        self._items = items

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        wrong = scores.isnan().any(dim=-1)
        if wrong.any():
            raise EvaluationError(
                f"scores turned NaN, first on the item {short(self._items[int(wrong.int().argmax())])}"
            )
        return scores


class _StopStrings(StoppingCriteria):
    """Ends each row whose text holds a stop string."""

    def __init__(self, text_of: Callable[[int, Sequence[int]], str], width: int, stop: Sequence[str]) -> None:
        self._text_of, self._width, self._stop = text_of, width, stop

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: Any) -> torch.Tensor:
        texts = [self._text_of(row, tokens) for row, tokens in enumerate(input_ids[:, self._width :].tolist())]
        done = [any(mark in text for mark in self._stop) for text in texts]
        return torch.tensor(done, device=input_ids.device)


def _text(tokenizer: PreTrainedTokenizerBase, before: int, generated: Sequence[int], ends: set[int]) -> str:
    length = next((place for place, token in enumerate(generated) if token in ends), len(generated))
    # some tokenizers drop the space in front of a text, so what is generated is decoded after the prompt's last token
    context = _decode(tokenizer, [before])
    whole = _decode(tokenizer, [before, *generated[:length]])
    return whole.removeprefix(context) if whole.startswith(context) else _decode(tokenizer, generated[:length])


def _decode(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int]) -> str:
    text = tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return text if isinstance(text, str) else "".join(text)


@contextmanager
def _generation_config(model: PreTrainedModel, settings: GenerationConfig) -> Iterator[None]:
    """Sets the checkpoint's own settings aside: a repetition penalty or a sampling temperature is not greedy text."""
    own = model.generation_config
    model.generation_config = settings
    try:
        yield
    finally:
        model.generation_config = own
