"""Whether a text is the one that the model would write itself, which log-likelihoods do not tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...core.contracts import LanguageModel
from ...core.errors import ConfigurationError

_PART = "\ufffd"
"""What a character is decoded to while some of its bytes are still to come."""


class Greedy:
    """A truth value that is asked for when it is first read: most metrics never read it."""

    def __init__(self, answers: Callable[[], Sequence[bool]], place: int) -> None:
        self._answers, self._place = answers, place

    def __bool__(self) -> bool:
        return self._answers()[self._place]

    def __int__(self) -> int:
        return int(bool(self))

    def __float__(self) -> float:
        return float(bool(self))


def are_greedy(model: LanguageModel, pairs: Sequence[tuple[str, str]]) -> list[bool]:
    """For each (prompt, continuation): whether the greedy text after the prompt is the continuation at some length.

    One more token is asked of those that agree so far, so that a text that goes on within the same word is told from
    one that ends there.

    Raises:
        ConfigurationError: a prompt is empty.
        EvaluationError: the model cannot answer.
    """
    if not all(prompt for prompt, _ in pairs):
        raise ConfigurationError("the metric asks what the model writes after an empty prompt; choose another metric")
    found = [False] * len(pairs)
    remaining = list(range(len(pairs)))
    before: dict[str, str] = {}
    length = 0
    while remaining:
        length += 1
        prompts = list(dict.fromkeys(pairs[place][0] for place in remaining))
        written = dict(zip(prompts, model.generate(prompts, length), strict=True))
        agreeing = []
        for place in remaining:
            prompt, wanted = pairs[place]
            text = written[prompt]
            found[place] = text == wanted
            ended = text == before.get(prompt) and not text.endswith(_PART)
            open_yet = wanted.startswith(text.rstrip(_PART)) and length < len(wanted.encode())
            if open_yet and not found[place] and not ended:
                agreeing.append(place)
        remaining, before = agreeing, written
    return found
