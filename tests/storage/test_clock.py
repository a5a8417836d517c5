from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from heterosis.storage.clock import ASK_AGAIN_SECONDS, ServerClock
from sqlalchemy import Connection

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Server:
    """Stands in for a connection: its clock is an hour ahead of ours, and counts how often it was asked."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.asked = 0

    def execute(self, _query: Any) -> Server:
        self.asked += 1
        return self

    def scalar_one(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)


def test_the_server_is_asked_now_and_then_and_counted_on_between() -> None:
    server = Server()
    clock = ServerClock(lambda: server.seconds)
    for _ in range(100):
        assert clock.now(cast("Connection", server)) == NOON + timedelta(seconds=server.seconds)
        server.seconds += 0.5
    assert server.asked == pytest.approx(50 / ASK_AGAIN_SECONDS, abs=1)


def test_seconds_that_go_backwards_are_not_counted_on() -> None:
    server = Server()
    clock = ServerClock(lambda: server.seconds)
    clock.now(cast("Connection", server))
    server.seconds -= 500.0
    assert clock.now(cast("Connection", server)) == NOON + timedelta(seconds=server.seconds)
    assert server.asked == 2
