"""The harness's requests, answered by a `LanguageModel`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from ...core.contracts import LanguageModel
from ...core.errors import ConfigurationError
from .lm_eval_greedy import Greedy, are_greedy

_MAX_TOKENS = 256
_MAX_TOKENS_NAMES = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
Request = Sequence[Any]
"""`loglikelihood`, `loglikelihood_rolling` or `generate_until`, and then the arguments, as the harness has them."""


def check_request(request: Request, where: str) -> None:
    """Raises ConfigurationError if a request cannot be answered as the harness means it."""
    kind, *arguments = request
    texts = arguments[:1] if kind == "generate_until" else arguments
    if kind not in _ANSWER or not all(isinstance(text, str) for text in texts):
        raise ConfigurationError(f"{where} asks {str(request)[:80]!r}; only questions of text can be answered")
    if kind == "generate_until":
        settings = arguments[1]
        if settings.get("do_sample", float(settings.get("temperature", 0.0)) > 0.0):
            raise ConfigurationError(
                f"{where} wants sampled text ({settings}), but texts here are greedy; write a file of your own that "
                "has `include:` of this task's, and `generation_kwargs` with `do_sample: false`"
            )


def ask(model: LanguageModel, requests: Sequence[Request], greedy: bool) -> list[Any]:
    """The answers, as the harness has them: (log-likelihood, whether greedy), log-likelihood, or text.

    Args:
        greedy: whether the second part of a `loglikelihood` is wanted. It is asked when it is first read; False if not.

    Raises:
        EvaluationError: the model cannot answer.
    """
    answers: list[Any] = [None] * len(requests)
    for kind in dict.fromkeys(request[0] for request in requests):
        places = [place for place, request in enumerate(requests) if request[0] == kind]
        found = _ANSWER[kind](model, [requests[place][1:] for place in places], greedy)
        for place, answer in zip(places, found, strict=True):
            answers[place] = answer
    return answers


def _log_likelihoods(model: LanguageModel, arguments: Sequence[Sequence[str]], greedy: bool) -> list[Any]:
    pairs = [_moved(prompt, continuation) for prompt, continuation in arguments]
    by_prompt: dict[str, list[int]] = {}
    for place, (prompt, _) in enumerate(pairs):
        by_prompt.setdefault(prompt, []).append(place)
    figures = [0.0] * len(pairs)
    bare = by_prompt.pop("", [])
    asked = [(prompt, [pairs[place][1] for place in places]) for prompt, places in by_prompt.items()]
    for places, row in zip(by_prompt.values(), model.choice_log_likelihoods(asked) if asked else [], strict=True):
        for place, figure in zip(places, row, strict=True):
            figures[place] = figure
    for place, (figure, _) in zip(
        bare, model.text_log_likelihoods([pairs[place][1] for place in bare]) if bare else [], strict=True
    ):
        figures[place] = figure
    if not greedy:
        return [(figure, False) for figure in figures]
    found = cache(lambda: are_greedy(model, pairs))
    return [(figure, Greedy(found, place)) for place, figure in enumerate(figures)]


def _moved(prompt: str, continuation: str) -> tuple[str, str]:
    # as in the harness: space at the end of a prompt is, for most tokenizers, part of the next word
    text = prompt.rstrip()
    return text, prompt[len(text) :] + continuation


def _rolling(model: LanguageModel, arguments: Sequence[Sequence[str]], _greedy: bool) -> list[Any]:
    return [figure for figure, _ in model.text_log_likelihoods([text for (text,) in arguments])]


def _texts(model: LanguageModel, arguments: Sequence[Sequence[Any]], _greedy: bool) -> list[Any]:
    texts = [""] * len(arguments)
    groups: dict[tuple[int, tuple[str, ...]], list[int]] = {}
    for place, (_, settings) in enumerate(arguments):
        until = settings.get("until") or []
        stop = tuple(mark for mark in ([until] if isinstance(until, str) else until) if mark)
        given = [settings[name] for name in _MAX_TOKENS_NAMES if settings.get(name) is not None]
        groups.setdefault((int(given[0]) if given else _MAX_TOKENS, stop), []).append(place)
    for (max_tokens, stop), places in groups.items():
        found = model.generate([arguments[place][0] for place in places], max_tokens, stop)
        for place, text in zip(places, found, strict=True):
            texts[place] = text
    return texts


_ANSWER: dict[str, Callable[[LanguageModel, Sequence[Sequence[Any]], bool], list[Any]]] = {
    "loglikelihood": _log_likelihoods,
    "loglikelihood_rolling": _rolling,
    "generate_until": _texts,
}
