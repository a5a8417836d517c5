"""Who leads a study: one process at a time, whose epoch fences the one before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from sqlalchemy import ColumnElement, Connection, and_, insert, select, update

from ..core.errors import StorageError
from .database import Database
from .events import append
from .owners import is_dead
from .tables import study_leases

LEAD_SECONDS = 60.0


class Leads:
    """Leases of studies: whoever asks the optimizer and tells it holds one, and renews it while it runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def acquire(
        self, study_id: str, owner: str, seconds: float = LEAD_SECONDS, dead: Callable[[str], bool] = is_dead
    ) -> int:
        """Becomes the leader; the epoch, which grows with every change of leader.

        Raises:
            StorageError: another process leads the study, and is not known to have ended.
        """
        with self._database.write() as connection:
            now = self._database.now(connection)
            held = connection.execute(
                select(study_leases).where(study_leases.c.study_id == study_id).with_for_update()
            ).one_or_none()
            until = now + timedelta(seconds=seconds)
            if held is None:
                row = {"study_id": study_id, "owner": owner, "epoch": 1, "expires_at": until}
                connection.execute(insert(study_leases).values(**row))
                epoch = 1
            elif held.expires_at > now and not dead(held.owner):
                left = (held.expires_at - now).total_seconds()
                raise StorageError(
                    f"another process leads this study ({held.owner}): let it finish, or end it and resume; if its "
                    f"machine is gone, its lease ends by itself in {left:.0f} s"
                )
            else:
                epoch = held.epoch + 1
                change = {"owner": owner, "epoch": epoch, "expires_at": until}
                connection.execute(update(study_leases).where(study_leases.c.study_id == study_id).values(**change))
            append(connection, now, "study.led", study_id, study_id=study_id, payload={"owner": owner, "epoch": epoch})
            return epoch

    def renew(self, study_id: str, epoch: int, seconds: float = LEAD_SECONDS) -> bool:
        """Extends the lease from now; False if another leads since: then stop."""
        with self._database.write() as connection:
            until = self._database.now(connection) + timedelta(seconds=seconds)
            change = update(study_leases).where(_held(study_id, epoch)).values(expires_at=until)
            return connection.execute(change).rowcount == 1

    def release(self, study_id: str, epoch: int) -> None:
        """Lets another lead at once; does nothing if another does already."""
        with self._database.write() as connection:
            now = self._database.now(connection)
            connection.execute(update(study_leases).where(_held(study_id, epoch)).values(expires_at=now))


class LedDatabase(Database):
    """The same database, in which every write is refused once another process leads the study.

    For all that a leader writes: asks, what was told, what was measured, how the study stands.
    """

    def __init__(self, database: Database, study_id: str, epoch: int) -> None:
        vars(self).update(vars(database))  # the same connections
        self._study_id = study_id
        self._epoch = epoch

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """As `Database.write`, for the leader only.

        Raises:
            StorageError: another process leads the study since; nothing is written.
        """
        with super().write() as connection:
            # shared with those who only check; whoever would take over waits until this transaction is over
            held = select(study_leases.c.epoch).where(_held(self._study_id, self._epoch)).with_for_update(read=True)
            if connection.execute(held).first() is None:
                raise StorageError(
                    "another process leads this study since (this one was silent for too long): nothing is lost; "
                    "let the other finish"
                )
            yield connection

    def close(self) -> None:
        """Does nothing: whoever opened the database closes it."""


def _held(study_id: str, epoch: int) -> ColumnElement[bool]:
    return and_(study_leases.c.study_id == study_id, study_leases.c.epoch == epoch)
