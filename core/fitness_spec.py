"""How a study scores candidates in its search: on every search item, or estimated from few of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import registry
from .errors import ConfigurationError, did_you_mean
from .parsing import check_keys, mapping_of, share_of, text_of, whole_number_of

FULL, AUTO = "full", "auto"
_KEYS = ("estimator", "first", "most", "elites", "references")


@dataclass(frozen=True)
class FitnessSpec:
    """Scores that are estimated from few items, by candidates that race.

    Attributes:
        estimator: name of an estimator plugin; `options` are passed to it.
        first: items that every candidate is asked, over all tasks.
        most: items that a candidate is asked at most, if it stays among the best of its ask. With `most` = `first`
            there is no race: every candidate is asked as many.
        elites: of all items asked of candidates, the share that may go to the best ones answering every item: what
            estimates are learned from and checked against.
        references: by task, a file of responses of other models to the same items, to learn from as well.
    """

    estimator: str = AUTO
    options: Mapping[str, Any] = field(default_factory=dict)
    first: int = 6
    most: int = 24
    elites: float = 0.25
    references: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.most < self.first:
            raise ConfigurationError(f"fitness: `most` ({self.most}) is less than `first` ({self.first})")

    @classmethod
    def from_dict(cls, content: Any, tasks: Collection[str], where: str) -> FitnessSpec | None:
        """Reads `fitness` of a study file; None where every item is asked.

        Raises:
            ConfigurationError: a key is unknown, or a value cannot be used.
            PluginError: there is no such estimator.
        """
        if content == FULL:
            return None
        if isinstance(content, str):
            content = {"estimator": content}
        content = mapping_of(content, where)
        check_keys(content, _KEYS, where)
        estimator = content.get("estimator", AUTO)
        options = dict(mapping_of(estimator, f"{where}, estimator")) if not isinstance(estimator, str) else {}
        name = text_of(options.pop("name", None) if options else estimator, f"{where}, estimator, name")
        registry.load("estimators", name)
        references = mapping_of(content.get("references", {}), f"{where}, references")
        for task in references:
            if task not in tasks:
                raise ConfigurationError(f"{where}, references: unknown task {task!r}. {did_you_mean(task, tasks)}")
        return cls(
            estimator=name,
            options=options,
            first=whole_number_of(content.get("first", cls.first), f"{where}, first", at_least=1),
            most=whole_number_of(content.get("most", max(cls.most, content.get("first", 0))), f"{where}, most", 1),
            elites=share_of(content.get("elites", cls.elites), f"{where}, elites"),
            references={str(task): text_of(path, f"{where}, references, {task}") for task, path in references.items()},
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready content that `from_dict` reads back."""
        return {
            "estimator": {"name": self.estimator, **self.options},
            "first": self.first,
            "most": self.most,
            "elites": self.elites,
            "references": dict(self.references),
        }
