"""Builds a task of the harness as a study's options say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ...core.errors import ConfigurationError, did_you_mean
from ...core.parsing import check_keys, text_of, texts_of, whole_number_of
from .lm_eval_files import read_config

_FEWSHOT_SEED = 1234
_TRUSTED = ("unsafe_code", "remote_code")


@dataclass(frozen=True)
class Options:
    """What a study says about a task; see `LmEval`."""

    task: str | None = None
    split: str | None = None
    num_fewshot: int | None = None
    fewshot_seed: int = _FEWSHOT_SEED
    filter: str | None = None
    metric: str | None = None
    trust: tuple[str, ...] = ()

    @classmethod
    def of(cls, options: Mapping[str, Any], where: str) -> Options:
        """Reads the options. Raises ConfigurationError if one is unknown or cannot be used."""
        check_keys(options, [field.name for field in fields(cls)], where)
        read: dict[str, Any] = {}
        for key, value in options.items():
            place = f"{where}, {key}"
            if key in ("num_fewshot", "fewshot_seed"):
                read[key] = whole_number_of(value, place, at_least=0)
            elif key == "trust":
                read[key] = tuple(texts_of(value, place))
            else:
                read[key] = text_of(value, place)
        for word in read.get("trust", ()):
            if word not in _TRUSTED:
                raise ConfigurationError(f"{where}, trust: unknown {word!r}. {did_you_mean(word, _TRUSTED)}")
        return cls(**read)


def build(path: Path, options: Options) -> Any:
    """The harness's task object, with its data.

    Args:
        path: a task's YAML file; or a folder, if the options name the task.

    Raises:
        ConfigurationError: there is no such task, split or file, it is not trusted, or the harness cannot build it.
    """
    from lm_eval.tasks import TaskManager

    config = read_config(path, options.task)
    where = f"task {config['task']} of lm_eval"
    remote = (config.get("dataset_kwargs") or {}).get("trust_remote_code")
    _check_trust("remote_code", bool(remote), "its data set brings code of its own", options, where)
    _check_trust("unsafe_code", bool(config.get("unsafe_code")), "it runs what the model wrote", options, where)
    try:
        loaded = TaskManager(include_defaults=False).load([config])["tasks"]
    except Exception as error:  # the harness, its task's code and the data set's loader may fail in any way
        raise ConfigurationError(f"{where} cannot be built: {type(error).__name__}: {error}") from error
    (task,) = loaded.values()
    unsafe = bool(getattr(task, "UNSAFE_CODE", False))
    _check_trust("unsafe_code", unsafe, "it runs what the model wrote", options, where)
    if getattr(task, "MULTIMODAL", False):
        raise ConfigurationError(f"{where} shows pictures or plays sounds; only tasks of text can be asked")
    if options.split is not None:
        _set_split(task, options.split, where)
    _set_examples(task, options, where)
    return task


def _check_trust(word: str, needed: bool, why: str, options: Options, where: str) -> None:
    if needed and word not in options.trust:
        raise ConfigurationError(f"{where}: {why}; if you trust it, say `trust: [{word}]`")


def _set_split(task: Any, split: str, where: str) -> None:
    from lm_eval.api.task import ConfigurableTask

    if getattr(type(task), "test_docs", None) is not ConfigurableTask.test_docs:
        raise ConfigurationError(f"{where} is a Python class that knows its split; leave out `split`")
    if split not in task.dataset:
        raise ConfigurationError(f"{where} has no split {split!r}. {did_you_mean(split, list(task.dataset))}")
    task.set_config("test_split", split)


def _set_examples(task: Any, options: Options, where: str) -> None:
    own = task.get_config("num_fewshot")
    if options.num_fewshot and own == 0:
        raise ConfigurationError(f"{where} allows no solved examples; leave out `num_fewshot`")
    task.set_config("num_fewshot", (own or 0) if options.num_fewshot is None else options.num_fewshot)
    task.set_fewshot_seed(options.fewshot_seed)
