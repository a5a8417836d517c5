"""References to checkpoints, taken apart without opening anything; and pinned to what they mean now."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .. import registry
from ..contracts import Provider

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+(@[\w.-]+)?")
"""mergekit's way to name a checkpoint of the hub."""
_OR = " | "


@dataclass(frozen=True)
class Part:
    """One of the alternatives of a reference, or of the two models of an adapter's.

    Attributes:
        text: as it was written.
        scheme: name of the provider that brings it; None if it is a local path.
        rest: what the provider is given.
        path: where it is, if it is local.
    """

    text: str
    scheme: str | None
    rest: str
    path: Path

    @property
    def provider(self) -> Provider | None:
        """What brings it; None if it is local. Raises PluginError if the provider does not load."""
        return None if self.scheme is None else registry.load("providers", self.scheme)()


def models_of(reference: str, relative_to: Path | None) -> list[str]:
    """The references of a model and of an adapter of it, if `reference` is `model+adapter`; else itself alone."""
    model, plus, lora = reference.partition("+")
    # A plus may also stand in a folder's name, in a version (name==1.0+cpu) or in one of several alternatives.
    if plus and not (relative_to or Path()).joinpath(reference).exists() and not {"|", "="} & set(reference):
        return [model, lora]
    return [reference]


def part_of(text: str, relative_to: Path | None) -> Part:
    """One alternative; `owner/name` is of the hub if there is no such folder."""
    path = (relative_to or Path()) / Path(text).expanduser()
    scheme, colon, rest = text.partition(":")
    if colon and scheme in registry.names("providers"):
        return Part(text, scheme, rest, path)
    is_hub = HUB_NAME.fullmatch(text) and not path.exists() and not path.parent.exists()
    return Part(text, "hub" if is_hub else None, text, path)


def parts_of(reference: str, relative_to: Path | None) -> list[Part]:
    """All that may be opened for a reference: of its alternatives none after one that is here."""
    return [part for model in models_of(reference, relative_to) for part in _usable(model, relative_to)]


def pinned(reference: str, relative_to: Path | None, cache: Path) -> str:
    """The reference with what it means now written out, as far as that can be seen in `cache` without a network."""

    def pin(model: str) -> str:
        return _OR.join(_pinned(part_of(text, relative_to), cache) for text in _alternatives(model))

    return "+".join(pin(model) for model in models_of(reference, relative_to))


def pinned_as(reference: str, recorded: str, relative_to: Path | None) -> str:
    """`recorded`, if it is `reference` pinned; else `reference`."""
    models, others = models_of(reference, relative_to), models_of(recorded, relative_to)
    if len(models) != len(others):
        return reference
    for model, other in zip(models, others, strict=True):
        texts, theirs = _alternatives(model), _alternatives(other)
        if len(texts) != len(theirs) or not all(
            text == written or _is_pinned_form(part_of(text, relative_to), part_of(written, relative_to))
            for text, written in zip(texts, theirs, strict=True)
        ):
            return reference
    return recorded


def _alternatives(reference: str) -> list[str]:
    return [text.strip() for text in reference.split(_OR)]


def _usable(model: str, relative_to: Path | None) -> Iterator[Part]:
    for text in _alternatives(model):
        part = part_of(text, relative_to)
        yield part
        if part.scheme is None and part.path.exists():
            return


def _pinned(part: Part, cache: Path) -> str:
    provider = part.provider
    if provider is None or provider.is_pinned(part.rest):
        return part.text
    rest = provider.pinned(part.rest, cache)
    return part.text if rest == part.rest else f"{part.scheme}:{rest}"


def _is_pinned_form(given: Part, written: Part) -> bool:
    provider = given.provider
    if provider is None or given.scheme != written.scheme:
        return False
    same = given.rest.partition("@")[0] == written.rest.partition("@")[0]
    return same and not provider.is_pinned(given.rest) and provider.is_pinned(written.rest)
