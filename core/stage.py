"""The stages of a study: search items select, validation items pick the winner, test items report."""

from __future__ import annotations

from typing import Literal, TypeAlias

Stage: TypeAlias = Literal["search", "validation", "test"]
STAGES: tuple[Stage, ...] = ("search", "validation", "test")
