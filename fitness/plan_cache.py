"""The plans made last, within a memory limit."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable

from .plan import Plan


class PlanCache:
    """Keeps plans by key; the one that was used longest ago goes first.

    Args:
        limit: memory for all plans together, in bytes. A plan that is larger is not kept.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._plans: OrderedDict[Hashable, Plan] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Plan]) -> Plan:
        """The plan kept under `key`, or the one that `make` returns."""
        if key in self._plans:
            self._plans.move_to_end(key)
            return self._plans[key]
        plan = self._plans[key] = make()
        self._held += plan.nbytes
        while self._held > self._limit:
            _, oldest = self._plans.popitem(last=False)
            self._held -= oldest.nbytes
        return plan
