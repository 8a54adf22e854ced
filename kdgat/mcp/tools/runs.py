"""The tool `runs`: the history asked in conditions or SQL, one run, several side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field

from kdgat.errors import HistoryError, RunError
from kdgat.mcp.answers import Cursor, Limit, first_of
from kdgat.mcp.tools.given import without_questions
from kdgat.mcp.tools.tables import TableAnswer, facts, table, table_page
from kdgat.workspace import Workspace

_MOST = 1_000
"""Rows that are paged through; whoever wants more wants another question."""

_TOLD = ("name", "stage", "reason", "provenance", "seed", "teacher", "subject", "job")
_TOLD_LAST = ("digest", "created_at", "started_at", "ended_at", "host", "attempts")

Action = Literal["list", "show", "compare", "sql", "tables"]
Query = Annotated[
    str,
    Field(
        description="list: condition like metrics.f1 > .9 and params.model.hidden = 32; "
        "sql: a SELECT; tables: a view",
        max_length=4000,
    ),
]


def runs(
    ws: Workspace,
    *,
    action: Action = "list",
    query: Query = "",
    runs: Annotated[
        list[str], Field(description="ids, beginnings, latest, MODEL@champion", max_length=8)
    ] = [],  # noqa: B006 nobody changes it
    order_by: Annotated[str, Field(description="list: like metrics.f1 desc")] = "",
    cursor: Cursor = "",
    limit: Limit = 30,
) -> TableAnswer:
    """Past runs: find them, show one, compare some, ask in SQL.

    Use when a claim needs evidence: figures, configs, epochs, calls.
    Not when it is about what runs now or failed lately (status), or models are ranked (registry).
    """
    if action == "list":
        return _listed(ws, query, order_by, cursor, limit)
    if action == "show":
        return _shown(ws, _one(runs), cursor, limit)
    if action == "compare":
        return _compared(ws, runs, cursor, limit)
    if action == "sql":
        return _asked(ws, query, cursor, limit)
    return _tables(ws, query, cursor, limit)


def _listed(ws: Workspace, where: str, order_by: str, cursor: str, limit: int) -> TableAnswer:
    from kdgat.ops.history import query_runs

    without_questions(ws, where, order_by)
    first = first_of(cursor)
    if first >= _MOST:
        raise HistoryError(
            f"only the first {_MOST:,} runs are paged through",
            hint="narrow `query`, or turn `order_by` round; action='sql' counts and groups",
        )
    end = min(first + limit, _MOST)
    found = query_runs(ws, where=where or None, order_by=order_by or None, limit=end, counted=True)
    total = found.total or 0
    title = "runs that fit" if where else "runs"
    hint = "runs(action='show', runs=[ID]) tells all of one" if found.rows else "widen the query"
    return table_page(
        title, found.columns, found.rows[first:], total, cursor, hint=hint, notes=found.warnings
    )


def _shown(ws: Workspace, run: str, cursor: str, limit: int) -> TableAnswer:
    from kdgat.configs.fields import leaves
    from kdgat.ops.runs import show_run

    view = show_run(ws, run)
    record = view.record
    told = {name: getattr(record, name) for name in _TOLD}
    rows = [
        ("state", f"{record.state.value}{', archived' * view.archived}"),
        *facts({**told, "aliases": view.aliases}),
        *facts(record.metrics, "metrics."),
        *facts(leaves(view.config), "params."),
        ("epochs", len(view.epochs)),
        *facts(dict(view.epochs[-1]) if view.epochs else {}, "last_epoch."),
        *facts({name: getattr(record, name) for name in _TOLD_LAST}),
        ("git_commit", record.environment.get("git_commit")),
        ("folder", view.folder),
    ]
    hint = "status(action='log', run=ID) tells what its job printed" if record.job else ""
    return table(f"run {record.run_id}", ("what", "value"), rows, cursor, limit, hint=hint)


def _compared(ws: Workspace, names: Sequence[str], cursor: str, limit: int) -> TableAnswer:
    from kdgat.ops.analytics import compare_runs

    found = compare_runs(ws, runs=names)
    ids = [run.run_id for run in found.runs]
    rows: list[Sequence[Any]] = [
        ("name", *(run.name for run in found.runs), None),
        ("evaluation", *(run.evaluation for run in found.runs), None),
        *((f"params.{row.field}", *row.values, None) for row in found.config),
    ]
    for row in found.figures:
        what = " ".join(filter(None, (row.scenario, row.protocol, row.metric)))
        rows.append((what, *row.values, row.difference))
    equal = f"{found.equal_fields} config fields and {found.equal_figures} figures are equal"
    return table(
        f"{len(ids)} runs side by side, what differs",
        ("what", *ids, "last - first"),
        rows,
        cursor,
        limit,
        notes=(*found.cautions, equal),
    )


def _asked(ws: Workspace, sql: str, cursor: str, limit: int) -> TableAnswer:
    from kdgat.ops.history import history_sql

    without_questions(ws, sql)
    found = history_sql(ws, sql, max_rows=_MOST)
    more = f"only the first {_MOST:,} rows: add WHERE, GROUP BY or LIMIT" * found.truncated
    answer = table(
        "answer", found.columns, found.rows, cursor, limit, hint=more, notes=found.warnings
    )
    return replace(answer, truncated=answer.truncated or found.truncated)


def _tables(ws: Workspace, name: str, cursor: str, limit: int) -> TableAnswer:
    from kdgat.modes.state import questions_shown
    from kdgat.ops.history import history_tables

    shown = questions_shown(ws)
    views = [view for view in history_tables(ws).items if shown or view.name != "questions"]
    if not name:
        rows = ((view.name, view.meaning, ", ".join(view.names)) for view in views)
        hint = "tables with query=VIEW tells types and meanings"
        return table("views", ("view", "meaning", "columns"), rows, cursor, limit, hint=hint)
    for view in views:
        if view.name == name:
            rows = ((each.name, each.kind.lower(), each.meaning) for each in view.columns)
            return table(f"view {name}", ("column", "type", "meaning"), rows, cursor, limit)
    without_questions(ws, name)
    raise HistoryError(
        f"there is no view '{name}'", hint=f"the views are {', '.join(v.name for v in views)}"
    )


def _one(runs: Sequence[str]) -> str:
    if len(runs) != 1:
        raise RunError(
            f"one run is shown at a time, and `runs` names {len(runs)}",
            hint="give runs=[ID]; action='compare' puts several side by side",
        )
    return runs[0]
