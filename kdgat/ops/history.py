"""Operations on the history: SQL of users and agents, runs that fit a condition, compaction."""

from __future__ import annotations

from dataclasses import dataclass

from kdgat.errors import HistoryError
from kdgat.runs.compact import Compaction, compact
from kdgat.runs.history import MAX_ROWS, MEMORY_MB, TIMEOUT_S, Table, open_history, user_query
from kdgat.runs.question import query
from kdgat.runs.views import VIEWS, View
from kdgat.workspace import Workspace


@dataclass(frozen=True)
class HistoryTables:
    """The views there are."""

    items: tuple[View, ...]


def history_sql(
    ws: Workspace,
    sql: str,
    *,
    max_rows: int = MAX_ROWS,
    timeout_s: float = TIMEOUT_S,
    memory_mb: int = MEMORY_MB,
) -> Table:
    """Ask the history in SQL; one statement that reads the views and nothing else.

    Raises:
        HistoryError: the statement is refused or wrong, or took too long or too much memory.
    """
    _check_limits(max_rows, timeout_s)
    return user_query(ws, sql, max_rows=max_rows, timeout_s=timeout_s, memory_mb=memory_mb)


def query_runs(
    ws: Workspace,
    *,
    where: str | None = None,
    order_by: str | None = None,
    limit: int = 50,
    columns: tuple[str, ...] = (),
    timeout_s: float = TIMEOUT_S,
    counted: bool = False,
) -> Table:
    """Runs that fit a condition such as `metrics.f1 > .9 and params.model.hidden = 32`.

    With `counted` the table's `total` tells how many fit, whatever the limit.

    Raises:
        HistoryError: a part is wrong or names what no run has, or it took too long.
    """
    _check_limits(limit, timeout_s)
    with open_history(ws, memory_mb=MEMORY_MB) as history:
        return query(
            history,
            where=where,
            order_by=order_by,
            columns=columns,
            limit=limit,
            timeout_s=timeout_s,
            counted=counted,
        )


def history_compact(ws: Workspace, *, dry_run: bool = False) -> Compaction:
    """Compact the runs that have ended; with `dry_run`, tell what would be done.

    Raises:
        StorageError: the file system refused.
    """
    return compact(ws, dry_run=dry_run)


def history_tables(_ws: Workspace) -> HistoryTables:
    """The views, with their columns and what each means."""
    return HistoryTables(tuple(VIEWS.values()))


def _check_limits(rows: int, timeout_s: float) -> None:
    if rows < 1 or not 0 < timeout_s <= 600:
        raise HistoryError(
            f"a limit of {rows} rows and {timeout_s:g} s can't be kept",
            hint="ask for at least one row, and for 600 s at most",
        )
