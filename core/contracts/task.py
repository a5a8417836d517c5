"""Contract `heterosis.tasks`: a list of items with a scoring rule."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ..estimate import Estimate
from .language_model import LanguageModel


@dataclass(frozen=True)
class Item:
    """One question: an id that is unique in its task and stable over time, and what the task needs to ask it."""

    id: str
    data: Mapping[str, Any]


class Task(ABC):
    """Items and a rule that gives each of a model's answers a score in [0, 1]; higher is better.

    Attributes:
        from_file: whether a study must name files; if not, options may name the items, and what is opened is the
            study's folder.
        share: whether `summarise` gives a share in [0, 1], as the mean of the responses is (and not a perplexity).
        reference: the model that candidates are compared with (see `LanguageModel.divergences`): `merge`, each one's
            own before it is quantised, or the label of a reference of the study's space (`base`, a source). None for
            tasks that compare with none.
        items: in the file's order, with distinct ids.
        rule: everything besides the items that a score depends on (options, version of the rule); JSON-ready.
    """

    name: ClassVar[str]
    from_file: ClassVar[bool] = True
    share: ClassVar[bool] = True
    reference: str | None = None
    items: tuple[Item, ...]
    rule: Mapping[str, Any]

    @classmethod
    @abstractmethod
    def open(cls, path: Path, **options: Any) -> Task:
        """Reads the items of a file (or, where `from_file` is false, those that the options name, from a folder).

        Raises:
            ConfigurationError: the file is missing, empty or malformed (with the line), or an option is unknown.
        """

    @abstractmethod
    def score(self, model: LanguageModel, items: Sequence[Item]) -> list[float]:
        """The responses: one score in [0, 1] for each of `items`, in order."""

    def summarise(self, items: Sequence[Item], scores: Sequence[float]) -> Estimate:
        """The score on the whole task, as the task reports it (default: mean of the responses)."""
        return Estimate.from_scores(scores)
