"""Generation: the text that the model generates is compared with reference answers by a metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...core.contracts import Item, LanguageModel, Task
from ...core.errors import ConfigurationError, did_you_mean
from ...core.parsing import check_keys, text_of, texts_of
from .adherence import Adherence
from .answer_metrics import METRIC_OPTIONS, METRICS
from .continuation import CONTINUATION_OPTIONS, Continuation
from .jsonl import read_items

ADHERENCE = "adherence"
OPTIONS = ("metric", *CONTINUATION_OPTIONS, "language", "among", "script")


class Generation(Task):
    """Scores the greedy continuation of the prompt against the answers; the best of several answers counts.

    A file has a line for each item: `prompt`, `answer` (text or a list of texts; not needed for `adherence`), and
    perhaps `id`.

    Options:
        metric: `bleu` (default), `chrf`, `chrf++`, `f1`, `exact_match`; or `adherence`, the language alone.
        max_tokens: how many tokens are generated at most (default 64).
        stop: a text or a list of texts; the continuation ends before the first of them (default: a line feed).
        language: ISO 639 code of the language that answers must be in; in another they score 0.
        among: codes of the languages to tell apart (default: all); naming the likely ones helps with short answers.
        script: Unicode script, or a list of them; the score is multiplied by the share of letters that are in it.
        tokens: `words` (default) or `characters`, of which `bleu` and `f1` are made.
        smoothing: of `bleu`, where an n-gram order has no match: `exp` (default), `floor`, `add-k` or `none`.

    An answer without letters, such as "42", is in any language and script; but for the metric `adherence`, which
    would reward a model for saying nothing, it scores 0.
    """

    name = "generation"

    def __init__(
        self,
        items: tuple[Item, ...],
        metric: str,
        continuation: Continuation,
        adherence: Adherence,
        **options: str,
    ) -> None:
        self.items = items
        self._metric, self._options = metric, options
        self._continuation, self._adherence = continuation, adherence
        asked = {"adherence": dict(adherence.rule)} if adherence else {}
        self.rule = {"version": 1, "metric": metric, **continuation.rule, **asked, **options}

    @classmethod
    def open(cls, path: Path, **options: Any) -> Generation:
        """Reads the items of a file.

        Raises:
            ConfigurationError: the file is missing, empty or malformed (with the line), or an option is unknown.
            PluginError: a language is asked for without the extra `language`.
        """
        where = f"task type {cls.name}"
        metric = text_of(options.get("metric", "bleu"), f"{where}, metric")
        if metric not in (*METRICS, ADHERENCE):
            raise ConfigurationError(
                f"{where}: unknown metric {metric!r}. {did_you_mean(metric, (*METRICS, ADHERENCE))}"
            )
        own = METRIC_OPTIONS.get(metric, {})
        check_keys(options, (*OPTIONS, *own), f"{where}, metric {metric}")
        adherence = Adherence.of(options, where)
        if metric == ADHERENCE and not adherence:
            raise ConfigurationError(f"{where}: the metric {ADHERENCE} needs a `language`, a `script`, or both")
        wanted, optional = (("prompt",), ("answer",)) if metric == ADHERENCE else (("prompt", "answer"), ())
        return cls(
            read_items(path, wanted, _parse, optional),
            metric,
            Continuation.of(options, where, max_tokens=64),
            adherence,
            **{name: _choice(options, name, values, where) for name, values in own.items()},
        )

    def score(self, model: LanguageModel, items: Sequence[Item]) -> list[float]:
        """The responses: one score in [0, 1] for each of `items`, in order."""
        texts = self._continuation.texts(model, items)
        adherence = self._adherence.measure(texts)
        if self._metric == ADHERENCE:
            return [float(share) for share in adherence.nan_to_num(0.0)]
        scores = METRICS[self._metric](texts, [item.data["answer"] for item in items], **self._options)
        return [float(score) for score in scores * adherence.nan_to_num(1.0)]


def _choice(options: Mapping[str, Any], name: str, values: Sequence[str], where: str) -> str:
    value = text_of(options.get(name, values[0]), f"{where}, {name}")
    if value not in values:
        raise ConfigurationError(f"{where}: unknown {name} {value!r}. {did_you_mean(value, values)}")
    return value


def _parse(content: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    prompt = text_of(content["prompt"], f"{where}: `prompt`")
    data: dict[str, Any] = {"prompt": prompt}
    if "answer" in content:
        data["answer"] = texts_of(content["answer"], f"{where}: `answer`")
    answers = data.get("answer", [prompt])
    if not prompt or not answers or not all(answer.strip() for answer in answers):
        raise ConfigurationError(f"{where}: the prompt or an answer is empty")
    return data
