"""Graded: the model answers with a grade, such as 1 to 5, and is scored by how far it is from the right one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ...core.contracts import Item, LanguageModel, Task
from ...core.errors import ConfigurationError
from ...core.estimate import Estimate
from ...core.metrics import jackknifed_kappa, quadratic_weighted_kappa
from ...core.parsing import check_keys, text_of, whole_number_of
from .continuation import CONTINUATION_OPTIONS, Continuation
from .jsonl import read_items
from .numbers import read_numbers

_SIDE = 1e-6
"""How much more an answer scores that is below the right grade than one as far above: the response tells which."""


class Graded(Task):
    """The response is 1 - (d/D)², d the distance from the right grade and D that of the highest from the lowest.

    The grade is the first number of the greedy continuation. An answer without a grade scores 0. The score of the
    task is the quadratic weighted kappa: 1 is agreement, 0 what guessing by the grades' frequencies brings, -1 the
    reverse; there, an answer without a grade counts as the grade farthest from the right one.

    A file has a line for each item: `prompt`, `answer` (the grade), and perhaps `id`.

    Options:
        lowest, highest: the grades (default 1 and 5), 2 to 1000 of them.
        max_tokens: how many tokens are generated at most (default 8).
        stop: a text or a list of texts; the continuation ends before the first of them (default: a line feed).
    """

    name = "graded"
    share = False

    def __init__(self, items: tuple[Item, ...], continuation: Continuation, lowest: int = 1, highest: int = 5) -> None:
        self.items = items
        self._continuation, self._lowest, self._highest = continuation, lowest, highest
        self.rule = {"version": 1, **continuation.rule, "lowest": lowest, "highest": highest}

    @classmethod
    def open(cls, path: Path, **options: Any) -> Graded:
        """Reads the items of a file.

        Raises:
            ConfigurationError: the file is missing, empty or malformed (with the line), or an option is unknown.
        """
        where = f"task type {cls.name}"
        check_keys(options, (*CONTINUATION_OPTIONS, "lowest", "highest"), where)
        lowest = whole_number_of(options.get("lowest", 1), f"{where}, lowest", at_least=0)
        highest = whole_number_of(options.get("highest", 5), f"{where}, highest", at_least=lowest + 1)
        if highest - lowest >= 1000:
            raise ConfigurationError(f"{where}: {lowest} to {highest} are more than 1000 grades")

        def parse(content: Mapping[str, Any], where: str) -> Mapping[str, Any]:
            prompt, answer = text_of(content["prompt"], f"{where}: `prompt`"), content["answer"]
            if not prompt:
                raise ConfigurationError(f"{where}: the prompt is empty")
            if not isinstance(answer, int) or isinstance(answer, bool) or not lowest <= answer <= highest:
                raise ConfigurationError(
                    f"{where}: `answer` must be a whole number, {lowest} to {highest}, not {answer!r}"
                )
            return {"prompt": prompt, "answer": answer}

        items = read_items(path, ("prompt", "answer"), parse)
        return cls(items, Continuation.of(options, where, max_tokens=8), lowest, highest)

    def score(self, model: LanguageModel, items: Sequence[Item]) -> list[float]:
        """The responses: one score in [0, 1] for each of `items`, in order."""
        texts = self._continuation.texts(model, items)
        return [self._score(self._grade(text), item.data["answer"]) for item, text in zip(items, texts, strict=True)]

    def summarise(self, items: Sequence[Item], scores: Sequence[float]) -> Estimate:
        """The quadratic weighted kappa in [-1, 1], and its standard error by the jackknife (NaN for one item).

        Where all answers and right grades are the same one, it is 1: nothing disagrees.
        """
        right = torch.tensor([item.data["answer"] for item in items])
        grades = torch.arange(self._lowest, self._highest + 1)
        possible = self._responses(grades, right.unsqueeze(1))
        nearest = (possible - torch.tensor(scores, dtype=torch.float64).unsqueeze(1)).abs().argmin(1)
        answers, count = grades[nearest], len(items)
        kappa = float(quadratic_weighted_kappa(answers, right).nan_to_num(1.0))
        if count < 2:
            return Estimate(kappa, math.nan, count)
        without = jackknifed_kappa(answers, right).nan_to_num(1.0)
        variance = float(without.var(correction=0)) * (count - 1)
        return Estimate(kappa, math.sqrt(variance), count)

    def _grade(self, text: str) -> int | None:
        numbers = read_numbers(text)
        if not numbers or numbers[0] != int(numbers[0]) or not self._lowest <= numbers[0] <= self._highest:
            return None
        return int(numbers[0])

    def _score(self, grade: int | None, right: int) -> float:
        return 0.0 if grade is None else float(self._responses(torch.tensor(grade), torch.tensor(right)))

    def _responses(self, grades: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        distance = (grades - right).double() / (self._highest - self._lowest)
        return 1 - distance**2 + _SIDE * (distance < 0)
