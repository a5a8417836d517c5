"""Adherence: whether an answer is in the language, and the script, that it should be in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import torch

from ...core.errors import ConfigurationError
from ...core.metrics import code_points, has_letters, in_language, script_share
from ...core.parsing import text_of, texts_of


@dataclass(frozen=True)
class Adherence:
    """What is asked of an answer's language; an empty value asks nothing.

    Attributes:
        language: ISO 639 code.
        among: codes of the languages that an answer may be in; empty means all that can be told.
        script: Unicode's names of scripts that its letters may belong to.
    """

    language: str = ""
    among: tuple[str, ...] = ()
    script: tuple[str, ...] = ()

    @classmethod
    def of(cls, options: Mapping[str, Any], where: str) -> Adherence:
        """Reads the options `language`, `among` and `script`, and tries them.

        Raises:
            ConfigurationError: a language or script is unknown, or `among` stands without `language`.
            PluginError: a language is asked for without the extra `language`.
        """
        found = cls(
            text_of(options.get("language", ""), f"{where}, language"),
            tuple(texts_of(options.get("among", []), f"{where}, among")),
            tuple(texts_of(options.get("script", []), f"{where}, script")),
        )
        if found.among and not found.language:
            raise ConfigurationError(f"{where}: `among` needs `language`, the one of them that is wanted")
        found.measure(["a"])
        return found

    def __bool__(self) -> bool:
        """Whether anything is asked."""
        return bool(self.language or self.script)

    @property
    def rule(self) -> Mapping[str, Any]:
        """What the measure depends on; JSON-ready."""
        told_by = {"py3langid": version("py3langid")} if self.language else {}
        return {"language": self.language, "among": list(self.among), "script": list(self.script), **told_by}

    def measure(self, texts: Sequence[str]) -> torch.Tensor:
        """The share of letters in the script, and 0 if the language is another.

        Returns:
            float64 [texts] in [0, 1]; NaN where there is no letter, which could be in any language.
        """
        characters = code_points(texts)
        share = torch.where(has_letters(characters), 1.0, torch.nan).double()
        if self.script:
            share = script_share(characters, self.script)
        if self.language:
            share = share * in_language(texts, self.language, self.among)
        return share
