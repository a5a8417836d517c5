"""Which filter and which metric of a harness's task make the response, and what else it depends on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from ...core.errors import ConfigurationError, did_you_mean
from ...core.genome import content_hash
from .lm_eval_items import plain

_PERPLEXITIES = ("word_perplexity", "byte_perplexity", "bits_per_byte")
_ROUNDING = 1e-9


def choose_filter(task: Any, name: str | None, where: str) -> Any:
    """The filter of that name, or the first. Raises ConfigurationError if there is none."""
    filters = {one.name: one for one in task._filters}
    chosen = next(iter(filters)) if name is None else name
    if chosen not in filters:
        raise ConfigurationError(f"{where} has no filter {chosen!r}. {did_you_mean(chosen, filters)}")
    return filters[chosen]


def choose_metric(task: Any, name: str | None, where: str) -> str:
    """The metric of that name, or the first that is a mean over items.

    Raises:
        ConfigurationError: there is none, or lower values of it are better.
    """
    from lm_eval.api.metrics import mean, nanmean

    metrics, higher = task.aggregation(), task.higher_is_better()
    if name is None:
        for metric, aggregation in metrics.items():
            if metric in _PERPLEXITIES or (aggregation in (mean, nanmean) and higher.get(metric, True)):
                return str(metric)
        raise ConfigurationError(f"{where} has no metric that is a mean over items; it has {', '.join(metrics)}")
    # a metric that is a function may report under other names, which are known when it has run
    of_its_own = any(callable(entry.get("metric")) for entry in task.get_config("metric_list") or [])
    if name not in metrics and not of_its_own:
        raise ConfigurationError(f"{where} has no metric {name!r}. {did_you_mean(name, metrics)}")
    if name not in _PERPLEXITIES and not higher.get(name, True):
        raise ConfigurationError(f"{where}: lower values of {name} are better, so it cannot be a score")
    return name


def reads_greedy(task: Any, metric: str) -> bool:
    """Whether the metric may depend on whether a text is the greedy one."""
    from lm_eval.api.task import ConfigurableTask

    if type(task).process_results is not ConfigurableTask.process_results or callable(task.config.process_results):
        return True
    return (task.OUTPUT_TYPE, metric) in (("loglikelihood", "acc"), ("multiple_choice", "exact_match"))


def response(results: Mapping[str, Any], metric: str, where: str) -> float:
    """The metric's figure of one item. Raises ConfigurationError if it is not one between 0 and 1."""
    if metric not in results:
        raise ConfigurationError(f"{where} has no figure {metric!r}. {did_you_mean(metric, results)}")
    value = results[metric]
    if metric in _PERPLEXITIES:
        log_likelihood, count = value
        value = math.exp(min(log_likelihood / max(count, 1), 0.0))
    if hasattr(value, "item") and getattr(value, "size", 0) == 1:
        value = value.item()
    if not isinstance(value, int | float) or not -_ROUNDING <= value <= 1 + _ROUNDING:
        others = [name for name in results if name != metric]
        raise ConfigurationError(
            f"{where}: {metric} is {value!r}; a response is a number from 0 to 1. Choose another `metric`"
            + (f": {', '.join(others)}" if others else "")
        )
    return min(max(float(value), 0.0), 1.0)


def rule_of(task: Any, filter_name: str, metric: str) -> dict[str, Any]:
    """All that a response depends on besides the item: the harness, the task and its settings, filter and metric."""
    settings = task.config.to_dict(keep_callable=True)
    # where the documents are kept does not matter: they are in the items
    scoring = {key: value for key, value in settings.items() if not key.startswith("dataset_")}
    return {
        "version": 1,
        "lm_eval": version("lm_eval"),
        "task": task.config.task,
        "task_version": str(task.VERSION),
        "filter": filter_name,
        "metric": metric,
        "settings": content_hash(plain({"class": type(task), **scoring})),
    }
