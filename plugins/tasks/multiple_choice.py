"""Multiple choice: the right answer must be the one that the model holds most likely."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...core.contracts import Item, LanguageModel, Task
from ...core.errors import ConfigurationError, did_you_mean
from ...core.parsing import check_keys, text_of, texts_of
from .jsonl import read_items

NORMALISATIONS = ("none", "characters")


class MultipleChoice(Task):
    """Scores 1 if the right choice has the highest log-likelihood after the prompt, else 0.

    If several choices share the highest, the score is shared: 1/(how many) if the right one is among them. A file has
    a line for each item: `prompt`, `choices` (at least two texts, joined to the prompt as they stand: mind the space),
    `answer` (position of the right choice, from 0, or its text), and perhaps `id`.

    Options:
        normalize: `none`; or `characters`, which divides each log-likelihood by the choice's length, so that a longer
            choice is not less likely for its length alone.
    """

    name = "multiple_choice"

    def __init__(self, items: tuple[Item, ...], normalize: str = "none") -> None:
        self.items = items
        self.rule = {"version": 1, "normalize": normalize}
        self._normalize = normalize

    @classmethod
    def open(cls, path: Path, **options: Any) -> MultipleChoice:
        """Reads the items of a file.

        Raises:
            ConfigurationError: the file is missing, empty or malformed (with the line), or an option is unknown.
        """
        where = f"task type {cls.name}"
        check_keys(options, ("normalize",), where)
        normalize = text_of(options.get("normalize", "none"), f"{where}, normalize")
        if normalize not in NORMALISATIONS:
            raise ConfigurationError(
                f"{where}: unknown normalize {normalize!r}. {did_you_mean(normalize, NORMALISATIONS)}"
            )
        return cls(read_items(path, ("prompt", "choices", "answer"), _parse), normalize)

    def score(self, model: LanguageModel, items: Sequence[Item]) -> list[float]:
        """The responses: one score in [0, 1] for each of `items`, in order."""
        figures = model.choice_log_likelihoods([(item.data["prompt"], item.data["choices"]) for item in items])
        return [self._score(item, row) for item, row in zip(items, figures, strict=True)]

    def _score(self, item: Item, figures: Sequence[float]) -> float:
        if self._normalize == "characters":
            choices = item.data["choices"]
            figures = [figure / len(choice) for figure, choice in zip(figures, choices, strict=True)]
        best = max(figures)
        return 1 / figures.count(best) if figures[item.data["answer"]] == best else 0.0


def _parse(content: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    prompt = text_of(content["prompt"], f"{where}: `prompt`")
    choices = texts_of(content["choices"], f"{where}: `choices`")
    if not prompt or not all(choices):
        raise ConfigurationError(f"{where}: the prompt or a choice is empty")
    if len(choices) < 2 or len(set(choices)) < len(choices):
        raise ConfigurationError(f"{where}: `choices` must be two or more different texts, not {choices!r}")
    answer = content["answer"]
    if isinstance(answer, str) and answer in choices:
        answer = choices.index(answer)
    if isinstance(answer, bool) or not isinstance(answer, int) or not 0 <= answer < len(choices):
        raise ConfigurationError(
            f"{where}: `answer` is {answer!r}; it must be a position, 0 to {len(choices) - 1}, or one of {choices!r}"
        )
    return {"prompt": prompt, "choices": choices, "answer": answer}
