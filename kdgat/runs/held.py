"""Compacted rows that a database holds as tables of its own, where they take little memory.

To plan over Parquet takes DuckDB longer than to plan over a table, and longer than most questions
then take. A view's rows are held from its third question on: a process that asks once or twice, as
most do, would only wait for them. `epochs` stay where they are: they are many and seldom asked for.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

HELD = "held"
"""The database's second catalog, which has the tables."""
_ROW_BYTES = {"runs": 200, "params": 40, "metrics": 40}
"""What a row may take, some twice what was measured."""
_UNHELD_QUESTIONS = 2
_SHARE = 4
"""One part in so many of a database's memory is for rows that it holds."""


class HeldTables:
    """What one database holds; safe for threads."""

    def __init__(self, files: Sequence[str], memory_mb: int) -> None:
        self._files = files
        self._limit_bytes = self._left_bytes = memory_mb * 1_000_000 // _SHARE
        self._asked: Counter[str] = Counter()
        self._held: dict[str, bool] = {}
        self._lock = threading.Lock()

    def table(
        self, name: str, connection: duckdb.DuckDBPyConnection, rows: Callable[[], str]
    ) -> str | None:
        """The table with a view's rows; None where they must be read from the files.

        Args:
            name: the view.
            connection: to the database.
            rows: gives SQL of the view's rows in the files.
        """
        if name not in _ROW_BYTES or not self._files:
            return None
        with self._lock:
            self._asked[name] += 1
            if self._asked[name] <= _UNHELD_QUESTIONS:
                return None
            table = _table(name)
            if name not in self._held:
                self._held[name] = self._fits(name, connection) and self._hold(
                    connection, table, rows()
                )
            return table if self._held[name] else None

    def holds(self, name: str) -> bool:
        """Whether the view's rows are held."""
        with self._lock:
            return self._held.get(name, False)

    def settled(self, name: str) -> bool:
        """Whether `table` will say the same of this view from now on."""
        with self._lock:
            return name not in _ROW_BYTES or not self._files or name in self._held

    def derived(self, name: str, connection: duckdb.DuckDBPyConnection, of: str, sql: str) -> str:
        """A table computed from the rows that are held of a view.

        Args:
            name: names the table, for good.
            connection: to the database.
            of: the view; `table` has said that it is held.
            sql: gives the rows; `{rows}` in it stands for the view's.
        """
        table = _table(name)
        with self._lock:
            if name not in self._held:
                rows = sql.format(rows=_table(of))
                connection.execute(f"create table {table} as {rows}")
                self._held[name] = True
        return table

    def _fits(self, name: str, connection: duckdb.DuckDBPyConnection) -> bool:
        files = ", ".join(quoted(file) for file in self._files if file.endswith(f"-{name}.parquet"))
        counted = f"select coalesce(sum(num_rows), 0) from parquet_file_metadata([{files}])"
        found = connection.execute(counted).fetchone()
        bytes_ = int(found[0]) * _ROW_BYTES[name] if found else 0
        if bytes_ > self._left_bytes:
            return False
        self._left_bytes -= bytes_
        return True

    def _hold(self, connection: duckdb.DuckDBPyConnection, table: str, rows: str) -> bool:
        import duckdb

        before = _taken_bytes(connection)
        try:
            connection.execute(f"create table {table} as {rows}")
            # Only then is it pressed together, unless another question is at work.
            with suppress(duckdb.TransactionException):
                connection.execute(f"checkpoint {HELD}")
        except duckdb.OutOfMemoryException:
            return False
        # Some texts are longer than a row's usual share.
        if _taken_bytes(connection) - before > self._limit_bytes:
            connection.execute(f"drop table {table}")
            return False
        return True


def _table(name: str) -> str:
    return f'{HELD}.main."_{name}"'


def quoted(text: str) -> str:
    """Text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def _taken_bytes(connection: duckdb.DuckDBPyConnection) -> int:
    sql = "select memory_usage_bytes from duckdb_memory() where tag = 'IN_MEMORY_TABLE'"
    found = connection.execute(sql).fetchone()
    return int(found[0]) if found else 0
