"""How a process connects to a PostgreSQL server: few connections, kept open, and noticed when they are dead."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.exc import InvalidatePoolError

KEPT, MORE = 4, 4
"""Connections that stay open between uses, and how many more a process may open when its threads need them at once."""
WAIT_SECONDS = 30.0
"""How long a thread waits for one of them before the database counts as out of reach."""
AGE_SECONDS = 1800
"""Older ones are closed when they are next wanted, as servers and firewalls close what is old without a word."""
RESTED_SECONDS = 5.0
"""One that was not used for so long is asked for a sign of life first; asking each time would cost a round trip."""

_TCP: Mapping[str, str] = {
    "application_name": "heterosis",
    "connect_timeout": "10",
    # A machine that vanishes says nothing: after a minute of silence its connection counts as dead.
    "keepalives": "1",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}


def pooled_engine(url: URL) -> Engine:
    """An engine for a PostgreSQL server; what the URL itself says of the connection counts before what is said here."""
    engine = create_engine(
        url.update_query_dict({name: value for name, value in _TCP.items() if name not in url.query}),
        hide_parameters=True,
        pool_size=KEPT,
        max_overflow=MORE,
        pool_timeout=WAIT_SECONDS,
        pool_recycle=AGE_SECONDS,
        pool_use_lifo=True,
    )

    @event.listens_for(engine, "checkin")
    def rest(connection: Any, record: Any) -> None:
        record.info["rests_since"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def wake(connection: Any, record: Any, proxy: object) -> None:
        since = record.info.get("rests_since")
        if since is None or time.monotonic() - since < RESTED_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError from error  # the pool then connects anew

    return engine
