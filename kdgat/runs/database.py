"""DuckDB for the history: one database per set of Parquet files, closed to everything else.

Seen in DuckDB 2.0: with external access off, `allowed_paths` of the exact files lets the views read
them and nothing beside them; it can be set only after the start and before access is turned off.
Starting a database takes some 20 ms of work, so a process keeps the newest ones; each question has
a connection to itself, whose views are temporary and thus its own too. They are used again by the
next question where nothing changed meanwhile: to make them takes a third of a usual question.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kdgat.runs.held import HELD, HeldTables, quoted

if TYPE_CHECKING:
    import duckdb

_KEPT = 3
_IDLE = 2
_MAX_THREADS = 4
_databases: OrderedDict[tuple[tuple[str, ...], int, object, int], Database] = OrderedDict()
_lock = threading.Lock()


@dataclass
class Session:
    """A connection, and what was made in it for one state of the folders and the journal."""

    duckdb: duckdb.DuckDBPyConnection
    made: set[str] = field(default_factory=set)
    """Views that the next question can use as they are."""
    lists: set[str] = field(default_factory=set)
    """Tables of run ids."""


class Database:
    """One database, for any number of connections in any threads."""

    def __init__(self, files: Sequence[str], memory_mb: int) -> None:
        self.held = HeldTables(files, memory_mb)
        """Which rows of the files it holds itself."""
        self._duckdb = closed_database(files, memory_mb)
        self._idle: list[tuple[object, Session]] = []
        self._lock = threading.Lock()

    @contextmanager
    def session(self, state: object) -> Iterator[Session]:
        """A session of this state; one that went well is kept for the next who asks in it."""
        session = self._idle_in(state) or Session(self._duckdb.cursor())
        try:
            yield session
        except BaseException:
            session.duckdb.close()
            raise
        with self._lock:
            self._idle.append((state, session))
            surplus = self._idle[:-_IDLE]
            self._idle = self._idle[-_IDLE:]
        for _, old in surplus:
            old.duckdb.close()

    def _idle_in(self, state: object) -> Session | None:
        """An idle session of this state; those of other states are over."""
        with self._lock:
            fitting = [session for each, session in self._idle if each == state]
            over = [session for each, session in self._idle if each != state]
            self._idle = [(state, session) for session in fitting[1:]]
        for session in over:
            session.duckdb.close()
        return fitting[0] if fitting else None

    @contextmanager
    def connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection that reads the files and nothing else, changes no setting, spills not."""
        cursor = self._duckdb.cursor()
        try:
            yield cursor
        finally:
            cursor.close()


def database_of(files: Sequence[str], memory_mb: int, version: object = None) -> Database:
    """The database of these files, from now on kept for the next who asks.

    Args:
        files: all that it can read.
        memory_mb: all that it may take.
        version: what it holds of the same files may differ with this.
    """
    key = (tuple(files), memory_mb, version, os.getpid())
    with _lock:
        if key not in _databases:
            _databases[key] = Database(files, memory_mb)
        _databases.move_to_end(key)
        while len(_databases) > _KEPT:
            # Connections still in use keep their database alive.
            _databases.popitem(last=False)
        return _databases[key]


def any_database(memory_mb: int) -> Database:
    """One that is there already, or else one without files: to parse, each is as good."""
    with _lock:
        for (_, _, _, process), database in reversed(_databases.items()):
            # After a fork, the parent's are of no use.
            if process == os.getpid():
                return database
    return database_of((), memory_mb)


def closed_database(files: Sequence[str], memory_mb: int) -> duckdb.DuckDBPyConnection:
    """A database that can read these files and nothing else."""
    import duckdb

    database = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": f"{memory_mb}MB",
            "threads": min(_MAX_THREADS, os.cpu_count() or 1),
            "temp_directory": "",
            "max_temp_directory_size": "0KB",
            "python_enable_replacements": False,
            "autoload_known_extensions": False,
            "autoinstall_known_extensions": False,
            "allow_community_extensions": False,
        },
    )
    # In memory too, but pressed together: a tenth of the size, and text is filtered twice as fast.
    database.execute(f"attach ':memory:' as {HELD} (compress)")
    database.execute(f"set allowed_paths = [{', '.join(map(quoted, files))}]")
    database.execute("set TimeZone = 'UTC'")
    database.execute("set enable_external_access = false")
    database.execute("set lock_configuration = true")
    return database
