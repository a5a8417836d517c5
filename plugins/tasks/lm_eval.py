"""Tasks of the lm-evaluation-harness: its questions, filters and metrics, asked of our models item by item."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from ...core.contracts import Item, LanguageModel, Task
from ...core.errors import EvaluationError, HeterosisError
from .lm_eval_config import Options, build
from .lm_eval_items import build_items
from .lm_eval_metrics import choose_filter, choose_metric, reads_greedy, response, rule_of
from .lm_eval_requests import ask
from .lm_eval_surroundings import surroundings


class LmEval(Task):
    """Scores an item as the harness does: its filter reads the answers, its `process_results` gives the figure.

    Prompts are the harness's own, with its seeds, built once when the task is opened: an item is asked the same
    whenever and beside whatever it is asked. An item's id is a hash of its document; a document that comes twice is
    asked once. The score of the task is the mean of the responses; for `word_perplexity`, `byte_perplexity` and
    `bits_per_byte`, a response is the inverse perplexity per word or byte, in (0, 1].

    Prompt and answer are tokenised apart, and the texts of a `generate_until` task are greedy. A text without a prompt
    is scored after its first token, which for most tokenizers is the one that they put in front of it. What is too
    long for the model is refused and not cut.

    Options:
        task: name of a task of the harness; not with a file, which is a task's YAML configuration.
        split: of the data set, instead of the task's own.
        num_fewshot: how many solved examples are in the prompt, instead of the task's own number.
        fewshot_seed: draws them (default 1234, as in the harness).
        filter: of the task's filters, the one whose result is scored (default: the first).
        metric: of the task's metrics (default: the first whose mean over items is the score).
        trust: `unsafe_code` for a task that runs what the model wrote, `remote_code` for a data set that brings code.
    """

    name = "lm_eval"
    from_file = False

    def __init__(self, task: Any, where: str, filter: str | None = None, metric: str | None = None) -> None:  # noqa: A002
        self._task, self._where = task, where
        self._filter = choose_filter(task, filter, where)
        self._metric = choose_metric(task, metric, where)
        self.items, self._documents = build_items(task, where)
        self.rule = rule_of(task, self._filter.name, self._metric)

    @classmethod
    def open(cls, path: Path, **options: Any) -> LmEval:
        """Opens the task that the options name (`path` is then a folder), or that a YAML file describes.

        Raises:
            ConfigurationError: it cannot be found, built or trusted, an option is unknown, or it has no such metric.
            PluginError: the harness is not installed.
        """
        chosen = Options.of(options, f"task type {cls.name}")
        with surroundings():
            task = build(path, chosen)
            return cls(task, f"task {task.config.task} of {cls.name}", chosen.filter, chosen.metric)

    def score(self, model: LanguageModel, items: Sequence[Item]) -> list[float]:
        """The responses: one score in [0, 1] for each of `items`, in order.

        Raises:
            ConfigurationError: the metric's figure is not one between 0 and 1.
            EvaluationError: the model cannot answer, or the task cannot read its answers.
        """
        if not items:
            return []
        requests = [request for item in items for request in item.data["requests"]]
        answers = ask(model, requests, reads_greedy(self._task, self._metric))
        with surroundings():
            try:
                return self._responses(items, answers)
            except HeterosisError:
                raise
            except Exception as error:  # the task's own code may fail in any way on what a model answers
                raise EvaluationError(f"{self._where} could not score the answers: {error!r}") from error

    def _responses(self, items: Sequence[Item], answers: Sequence[Any]) -> list[float]:
        from lm_eval.api.instance import Instance

        name, repeats = self._task.config.task, self._task.config.repeats
        remaining = iter(answers)
        groups = [
            [
                Instance(
                    request_type=kind,
                    doc=deepcopy(self._documents[item.id]),
                    arguments=tuple(deepcopy(arguments)),
                    idx=index,
                    metadata=(name, place, repeats),
                    resps=[next(remaining)] * repeats,
                )
                for index, (kind, *arguments) in enumerate(item.data["requests"])
            ]
            for place, item in enumerate(items)
        ]
        self._filter.apply([instance for group in groups for instance in group])
        return [
            response(
                self._task.process_results(
                    deepcopy(self._documents[item.id]), [one.filtered_resps[self._filter.name] for one in group]
                ),
                self._metric,
                f"{self._where}, item {item.id}",
            )
            for item, group in zip(items, groups, strict=True)
        ]
