"""The store: one database, and what can be kept in it, by subject."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from .artifacts import Artifacts
from .asks import Asks
from .canaries import Canaries
from .candidates import Candidates
from .database import Database
from .distrust import Distrust
from .environments import Environments
from .events import Events
from .leads import Leads, LedDatabase
from .migrate import open_database
from .monitor import Monitor
from .provenance import Provenances
from .queue import Queue
from .results import Results
from .studies import Studies
from .workers import Workers


class Store:
    """Everything that is recorded. Threads may share a store; each process opens its own.

    Every method is one transaction: when it returns, what it did outlives the process; if it raises, it did nothing.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, Store.open(f"{folder}/heterosis.db") as store:
    ...     store.studies.create("first", {}, seed=7, plugin_versions={}).state
    'created'
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.studies = Studies(database)
        self.asks = Asks(database)
        self.candidates = Candidates(database)
        self.queue = Queue(database)
        self.results = Results(database)
        self.artifacts = Artifacts(database)
        self.events = Events(database)
        self.monitor = Monitor(database)
        self.environments = Environments(database)
        self.provenance = Provenances(database)
        self.canaries = Canaries(database)
        self.distrust = Distrust(database)
        self.leads = Leads(database)
        self.workers = Workers(database)

    @classmethod
    def open(cls, given: str | Path, wait_seconds: float = 30.0) -> Store:
        """Opens a database, made or brought up to date if need be.

        Args:
            given: `sqlite:///FILE`, `postgresql://USER@HOST/NAME`, or the plain path of an SQLite file.
            wait_seconds: how long to wait for another writer (SQLite).

        Raises:
            ConfigurationError: the URL cannot be used.
            StorageError: the database cannot be reached, or belongs to another program or a newer version.
        """
        return cls(open_database(given, wait_seconds))

    def led(self, study_id: str, epoch: int) -> Store:
        """This store, for the leader of a study: it refuses to write once another leads."""
        return Store(LedDatabase(self.database, study_id, epoch))

    def close(self) -> None:
        """Closes the connections."""
        self.database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
