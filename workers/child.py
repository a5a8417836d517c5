"""The process that evaluates: it stays warm between candidates, knows no database, and may crash without loss.

Run as `python -m heterosis.workers.child DEVICE MEMORY_BYTES`, by `evaluation_process`.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

from .channel import ChildChannel

_REPORT_SECONDS = 0.5


def main() -> None:
    """Answers requests until the worker closes its end; then ends at once, whatever is being computed."""
    channel = ChildChannel()
    requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(channel, requests), name="requests", daemon=True).start()

    from ..core.errors import HeterosisError
    from .bench import Bench

    bench = Bench(sys.argv[1], int(sys.argv[2]))
    while True:
        request = requests.get()
        channel.begin(request)
        try:
            _answer(channel, bench, request)
        except HeterosisError as error:
            channel.reply(refused=type(error).__name__, reason=str(error))
        channel.reply(finished=True)


def _read(channel: ChildChannel, requests: queue.SimpleQueue[dict[str, Any]]) -> None:
    for request in channel.requests():
        requests.put(request)
    os._exit(0)  # the worker is gone: nobody waits for a result any more


def _answer(channel: ChildChannel, bench: Any, request: Mapping[str, Any]) -> None:
    from ..core.recipe import Recipe
    from ..fitness.canary import canary_values
    from .evaluating import evaluate, evaluate_together
    from .outcome import to_json

    loading = time.perf_counter()
    loaded = bench.loaded(request["study"])
    if loaded.fresh:
        channel.reply(loaded=loaded.environment, seconds=time.perf_counter() - loading)
    evaluator = loaded.evaluator
    if request["do"] == "canary":
        channel.reply(canary=list(canary_values(evaluator)), dtype=evaluator.spec.space.out_dtype)
        return
    channel.reply(begun=True)
    evaluator.progressed = _Progress(channel)
    stage = request["stage"]
    items = None if request["items"] is None else {task: tuple(ids) for task, ids in request["items"].items()}
    recipes = [Recipe.from_dict(content) for content in request["recipes"]]
    wanted = request["wanted"]
    alone = all(one["scores"] is not None for one in wanted)
    company = {} if alone else evaluate_together(evaluator, recipes, stage, items)
    for one in wanted:
        place = one["place"]
        scores = None if one["scores"] is None else {task: tuple(known) for task, known in one["scores"].items()}
        found = evaluate(evaluator, recipes[place], stage, items, scores, company.get(place))
        channel.reply(place=place, outcome=to_json(found))


class _Progress:
    """Passes progress on, but not more often than anybody looks."""

    def __init__(self, channel: ChildChannel) -> None:
        self._channel = channel
        self._told = 0.0

    def __call__(self, share: float) -> None:
        now = time.monotonic()
        if now - self._told >= _REPORT_SECONDS:
            self._told = now
            self._channel.reply(progress=share)


if __name__ == "__main__":
    main()
