"""Conformance check for contract `heterosis.tasks`: run it on your own task as we run it on ours.

>>> from heterosis.testing.tasks import check_task
>>> check_task("multiple_choice", "questions.jsonl", normalize="characters")  # doctest: +SKIP
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..core import registry
from ..core.contracts import Item, LanguageModel, Task
from ..core.errors import ConfigurationError
from ..core.genome import canonical_json
from ..fitness.transformers_model import TransformersModel
from .tiny import tiny_model, tiny_tokenizer

TOLERANCE = 1e-4
"""How far a score may move when an item is asked beside others: rounding in float32, no more."""


class RecordingModel(LanguageModel):
    """Passes everything on to another model, and remembers what was asked."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self.asked: list[Any] = []

    def choice_log_likelihoods(self, requests: Sequence[tuple[str, Sequence[str]]]) -> list[list[float]]:
        """As the other model."""
        self.asked.extend(("choices", prompt, tuple(continuations)) for prompt, continuations in requests)
        return self._model.choice_log_likelihoods(requests)

    def generate(self, prompts: Sequence[str], max_tokens: int, stop: Sequence[str] = ()) -> list[str]:
        """As the other model."""
        self.asked.extend(("generate", prompt, max_tokens, tuple(stop)) for prompt in prompts)
        return self._model.generate(prompts, max_tokens, stop)

    def text_log_likelihoods(self, texts: Sequence[str]) -> list[tuple[float, int]]:
        """As the other model."""
        self.asked.extend(("text", text) for text in texts)
        return self._model.text_log_likelihoods(texts)

    def divergences(self, texts: Sequence[str], reference: str, top: int) -> list[tuple[float, int]]:
        """As the other model."""
        self.asked.extend(("divergence", text, reference, top) for text in texts)
        return self._model.divergences(texts, reference, top)


def check_task(
    task: str | type[Task], path: str | Path, model: LanguageModel | None = None, at_most: int = 10, **options: Any
) -> None:
    """Checks that a task keeps its contract.

    Args:
        task: a class, or the name of an installed plugin.
        path: a file with at least two items.
        model: scores them; a tiny random model (128 positions) by default.
        at_most: how many of the items are scored.
        options: given to the task.

    Raises:
        AssertionError: it does not; the message says what it did.
    """
    kind: type[Task] = registry.load("tasks", task) if isinstance(task, str) else task
    opened = kind.open(Path(path), **options)
    check_identity(kind, opened)
    check_opening(kind, opened, Path(path), options)
    items = opened.items[:at_most]
    model = model or TransformersModel(tiny_model(), tiny_tokenizer())
    check_scores(opened, items, model)
    check_repetition(opened, items, model)
    check_company(opened, items, model)


def check_identity(kind: type[Task], task: Task) -> None:
    """It has a name, items with distinct ids, and a rule; data and rule can be written as JSON."""
    assert issubclass(kind, Task), f"{kind} is not a subclass of Task"
    assert kind.name, f"{kind} has no name"
    assert len(task.items) > 1, f"the file has {len(task.items)} items; the check needs two"
    assert all(isinstance(item.id, str) and item.id for item in task.items), "an item's id is empty or no text"
    ids = [item.id for item in task.items]
    twice = sorted({name for name in ids if ids.count(name) > 1})
    assert not twice, f"items share the ids {twice}"
    for label, content in (("rule", task.rule), *((f"data of item {item.id}", item.data) for item in task.items)):
        try:
            canonical_json(dict(content))
        except (TypeError, ValueError) as error:
            raise AssertionError(f"the {label} cannot be written as JSON: {error}") from error


def check_opening(kind: type[Task], task: Task, path: Path, options: dict[str, Any]) -> None:
    """Opening again gives the same items; a missing file and an unknown option are refused."""
    again = kind.open(path, **options)
    assert again.items == task.items, "opening the file again gave other items"
    assert canonical_json(dict(again.rule)) == canonical_json(dict(task.rule)), "opening again gave another rule"
    for place, extra, what in (
        (path.with_name("no such file"), {}, "opened a file that is not there"),
        (path, {"no_such_option": 1}, "took an unknown option"),
    ):
        try:
            kind.open(place, **{**options, **extra})
        except ConfigurationError:
            continue
        except Exception as error:
            raise AssertionError(f"it {what}: {error!r} is no ConfigurationError") from error
        raise AssertionError(f"it {what}")


def check_scores(task: Task, items: Sequence[Item], model: LanguageModel) -> None:
    """A score in [0, 1] for each item, and none for no items; a finite summary."""
    scores = task.score(model, items)
    assert len(scores) == len(items), f"{len(scores)} scores for {len(items)} items"
    for item, score in zip(items, scores, strict=True):
        assert 0.0 <= score <= 1.0, f"item {item.id} has the score {score}"
    assert list(task.score(model, [])) == [], "there are scores for no items"
    summary = task.summarise(items, scores)
    assert math.isfinite(summary.mean), f"the summary is {summary.mean}"
    in_range = not task.share or 0.0 <= summary.mean <= 1.0
    assert in_range, f"the summary is {summary.mean}, which is no share; set `share` to false"
    assert summary.items == len(items), f"the summary counts {summary.items} items, not {len(items)}"


def check_repetition(task: Task, items: Sequence[Item], model: LanguageModel) -> None:
    """Scoring changes nothing: the same questions are asked again, and get the same scores."""
    before = [canonical_json(dict(item.data)) for item in items]
    first, second = RecordingModel(model), RecordingModel(model)
    scores, again = task.score(first, items), task.score(second, items)
    assert [canonical_json(dict(item.data)) for item in items] == before, "scoring changed the items' data"
    assert second.asked == first.asked, "scoring the same items again asked the model something else"
    assert again == scores, f"the same items got the scores {scores}, then {again}"


def check_company(task: Task, items: Sequence[Item], model: LanguageModel) -> None:
    """An item's score does not depend on the items beside it, nor on their order."""
    expected = dict(zip((item.id for item in items), task.score(model, items), strict=True))
    companies = {"in reverse": items[::-1], "every other one": items[::2], **{f"{i.id} alone": [i] for i in items}}
    for label, company in companies.items():
        for item, score in zip(company, task.score(model, company), strict=True):
            assert abs(score - expected[item.id]) <= TOLERANCE, (
                f"item {item.id} scores {expected[item.id]} among all, but {score} when asked {label}"
            )
