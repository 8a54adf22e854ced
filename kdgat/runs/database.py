"""DuckDB for the history: one database per set of Parquet files, closed to everything else.

Seen in DuckDB 2.0: with external access off, `allowed_paths` of the exact files lets the views read
them and nothing beside them; it can be set only after the start and before access is turned off.
Starting a database takes some 20 ms of work, so a process keeps the newest ones; each question gets
a connection of its own, whose views are temporary and thus its own too.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

_KEPT = 4
_MAX_THREADS = 4
_databases: OrderedDict[object, duckdb.DuckDBPyConnection] = OrderedDict()
_lock = threading.Lock()


@contextmanager
def connection(files: list[str], memory_mb: int) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that can read these files and nothing else, change no setting, and not spill."""
    with _lock:
        key = (tuple(files), memory_mb, os.getpid())
        if key not in _databases:
            _databases[key] = closed_database(files, memory_mb)
        _databases.move_to_end(key)
        cursor = _databases[key].cursor()
        while len(_databases) > _KEPT:
            # Connections still in use keep their database alive.
            _databases.popitem(last=False)
    try:
        yield cursor
    finally:
        cursor.close()


def quoted(text: str) -> str:
    """Text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def closed_database(files: list[str], memory_mb: int) -> duckdb.DuckDBPyConnection:
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
    database.execute(f"set allowed_paths = [{', '.join(map(quoted, files))}]")
    database.execute("set TimeZone = 'UTC'")
    database.execute("set enable_external_access = false")
    database.execute("set lock_configuration = true")
    return database
