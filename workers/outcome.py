"""What came of evaluating a candidate, as it travels from the process that evaluated to the one that records it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.estimate import Estimate
from ..storage import ItemSet, Responses


@dataclass(frozen=True)
class Outcome:
    """A success.

    Attributes:
        responses: one for each task that was asked.
        measured: the tasks' own figures and the objectives'; empty if only some items were asked.
        seconds: wall-clock seconds by phase.
        peak_bytes: the most device memory that it took, where the device tells.
        engine: what was measured of it in the engine of the study's target; see `Evaluation`.
    """

    responses: tuple[Responses, ...]
    measured: Mapping[str, Estimate]
    seconds: Mapping[str, float]
    peak_bytes: int | None = None
    engine: Mapping[str, float | str] | None = None


@dataclass(frozen=True)
class Failure:
    """A failure of this candidate, for a reason that would be the same anywhere.

    Attributes:
        kind: in a word: `weights`, `scores`, `memory` or `plugin`.
    """

    kind: str
    reason: str


def to_json(found: Outcome | Failure) -> dict[str, Any]:
    """JSON-ready content that `from_json` reads back; a standard error of NaN becomes null."""
    if isinstance(found, Failure):
        return {"kind": found.kind, "reason": found.reason}
    return {
        "responses": responses_to_json(found.responses),
        "measured": {
            label: [estimate.mean, _number(estimate.standard_error), estimate.items]
            for label, estimate in found.measured.items()
        },
        "seconds": dict(found.seconds),
        "peak_bytes": found.peak_bytes,
        "engine": None if found.engine is None else dict(found.engine),
    }


def from_json(content: Mapping[str, Any]) -> Outcome | Failure:
    """Reads what `to_json` wrote."""
    if "kind" in content:
        return Failure(content["kind"], content["reason"])
    measured = {
        label: Estimate(mean, math.nan if error is None else error, items)
        for label, (mean, error, items) in content["measured"].items()
    }
    responses = responses_from_json(content["responses"])
    return Outcome(responses, measured, content["seconds"], content["peak_bytes"], content["engine"])


def responses_to_json(responses: Sequence[Responses]) -> list[dict[str, Any]]:
    """JSON-ready content that `responses_from_json` reads back."""
    return [
        {"task": one.task, "set": one.item_set.id, "items": list(one.item_set.item_ids), "scores": list(one.scores)}
        for one in responses
    ]


def responses_from_json(content: Sequence[Mapping[str, Any]]) -> tuple[Responses, ...]:
    """Reads what `responses_to_json` wrote."""
    return tuple(
        Responses(one["task"], ItemSet(one["set"], tuple(one["items"])), tuple(one["scores"])) for one in content
    )


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
