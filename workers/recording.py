"""Records what came of an evaluation, whoever computed it."""

from __future__ import annotations

from ..storage import Store
from .outcome import Failure, Outcome


def record_outcome(
    store: Store,
    evaluation_id: str,
    attempt: int,
    found: Outcome | Failure,
    environment_id: str | None = None,
    log_tail: str | None = None,
) -> bool:
    """Writes it in one transaction; False if the attempt no longer holds the evaluation, and nothing is written.

    Args:
        log_tail: the last that was written while it was evaluated; kept with a failure.
    """
    if isinstance(found, Failure):
        return store.results.fail(evaluation_id, attempt, found.kind, found.reason, log_tail)
    return store.results.finish(
        evaluation_id,
        attempt,
        found.responses,
        found.measured,
        found.seconds,
        environment_id=environment_id,
        peak_bytes=found.peak_bytes,
        engine=found.engine,
    )
