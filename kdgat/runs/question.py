"""`runs query`: a condition on runs, their figures and their config, as SQL over the views.

    metrics.f1 > .9 and params.model.hidden = 32 and dataset = 'hcrl_sa'

`metrics.NAME` is the run's own figure of that name, or else the mean over the test scenarios of its
newest evaluation (all attack types, zero-shot). `params.NAME` is a value of its config, a number
where all runs have numbers there, and text otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from kdgat.configs.names import PROTOCOLS
from kdgat.errors import HistoryError, did_you_mean
from kdgat.runs.guard import column_names, guarded
from kdgat.runs.held import quoted
from kdgat.runs.history import History, Table, ask
from kdgat.runs.views import VIEWS

COLUMNS = ("run_id", "name", "stage", "state", "seed", "created_at")
"""What is told of a run when nothing else is asked for."""
_NEWEST = "run_id desc"
_NEWEST_EVALUATIONS = (
    "select subject as judged, max(run_id) as evaluation from runs "
    "where subject is not null and state = 'completed' group by subject"
)
_INNER_COLUMN = re.compile(r'\s*(metrics|params)(\.\w+|\."[^"]+")+\s*', re.IGNORECASE)
_MISSING_COLUMN = re.compile(r'Referenced column "([^"]+)" not found')


def query(
    history: History,
    *,
    where: str | None = None,
    order_by: str | None = None,
    columns: tuple[str, ...] = (),
    limit: int,
    timeout_s: float,
    counted: bool = False,
) -> Table:
    """Runs that fit a condition.

    Args:
        history: an open history.
        where: an SQL condition on columns of `runs`, `metrics.NAME` and `params.NAME`.
        order_by: SQL of an order, by default the newest first.
        columns: what to tell of each run, by default `COLUMNS` and what the others speak of.
        limit: at most so many runs.
        timeout_s: seconds after which the question is cut off.
        counted: tell the `total` of those that fit as well.

    Raises:
        HistoryError: a part is wrong or names what no run has, or it took too long.
    """
    condition, order = where or "true", order_by or _NEWEST
    asked = ", ".join(columns) if columns else "run_id"
    names = column_names(f"select {asked} from runs where ({condition}\n) order by {order}")
    figures = _inner(names, "metrics")
    params = _inner(names, "params")
    told = columns or (*COLUMNS, *(_dotted(n) for n in names if n[0] in ("metrics", "params")))
    shown = ", ".join(_labelled(each) for each in dict.fromkeys(told))
    source = _source(_needed(names, told), figures, _typed(history, params))
    if counted:
        # The last column, so that an order by a column's number means the same.
        shown += ", count(*) over ()"
    sql = f"select {shown} from ({source}) as runs where ({condition}\n) order by {order}"
    try:
        table = ask(history, guarded(sql), max_rows=limit, timeout_s=timeout_s)
    except HistoryError as error:
        raise _explained(error) from error
    if not table.rows:
        _check_known(history, "metrics", tuple(_under(name)[1] for name in figures))
    return _with_total(table) if counted else table


def _with_total(table: Table) -> Table:
    """The same without the last column, which has the total in every row."""
    total = table.rows[0][-1] if table.rows else 0
    rows = tuple(row[:-1] for row in table.rows)
    return replace(table, columns=table.columns[:-1], rows=rows, total=total)


def _inner(names: Iterable[tuple[str, ...]], view: str) -> tuple[str, ...]:
    """The names below `metrics` or `params`, joined at their dots."""
    found = (".".join(name[1:]) for name in names if len(name) > 1 and name[0].lower() == view)
    return tuple(dict.fromkeys(found))


def _dotted(name: tuple[str, ...]) -> str:
    return ".".join((name[0], *(f'"{part}"' for part in name[1:])))


def _labelled(column: str) -> str:
    """The column under its whole name, where that has dots."""
    if not _INNER_COLUMN.fullmatch(column):
        return column
    label = column.replace('"', "")
    return f'{column} as "{label}"'


def _explained(error: HistoryError) -> HistoryError:
    """The same, with what a condition may name, where it named a column that there is not."""
    missing = _MISSING_COLUMN.search(error.problem)
    if missing is None:
        return error
    columns = (*VIEWS["runs"].names, "metrics.NAME", "params.NAME")
    return HistoryError(f"runs have no '{missing[1]}'", hint=did_you_mean(missing[1], columns))


def _needed(names: Iterable[tuple[str, ...]], told: Iterable[str]) -> list[str]:
    """The columns of `runs` that are spoken of: planning for all of them takes longer."""
    every = VIEWS["runs"].names
    if any("*" in each or "columns" in each.lower() for each in told):
        return list(every)
    spoken = {part.lower() for name in names for part in name} | {"run_id", *told}
    return [column for column in every if column in spoken]


def _source(needed: list[str], figures: tuple[str, ...], params: dict[str, bool]) -> str:
    """SQL of the runs with structs `metrics` and `params`, of just the names that are needed."""
    columns, joins, first = [f"r.{column}" for column in needed], [], ""
    if figures:
        first = f"with figures as materialized ({_figures(figures)}) "
        chosen = {
            name: f"coalesce(own.own{i}, own.judged{i}, of_evaluation.judged{i})"
            for i, name in enumerate(figures)
        }
        columns.append(f"{_struct(_tree(chosen))} as metrics")
        joins += [
            "left join figures own on own.run_id = r.run_id",
            f"left join ({_NEWEST_EVALUATIONS}) newest on newest.judged = r.run_id",
            "left join figures of_evaluation on of_evaluation.run_id = newest.evaluation",
        ]
    if params:
        names = {name: f"p.p{i}" for i, name in enumerate(params)}
        columns.append(f"{_struct(_tree(names))} as params")
        joins.append(f"left join ({_params(params)}) p on p.run_id = r.run_id")
    return f"{first}select {', '.join(columns)} from runs r {' '.join(joins)}"


def _figures(names: tuple[str, ...]) -> str:
    """Each run's own figures, and for evaluations the means over scenarios.

    `adapted.f1` is the mean under that protocol, and a name without one that under `zero_shot`.
    """
    columns, wanted = [], []
    for i, each in enumerate(names):
        protocol, name = _under(each)
        wanted += [quoted(each), quoted(name)]
        test = f"attack_type = 'all' and protocol = {quoted(protocol)}"
        columns.append(
            f"max(value) filter (where name = {quoted(each)} and scenario is null) as own{i}, "
            f"avg(value) filter (where name = {quoted(name)} and {test}) as judged{i}"
        )
    return (
        f"select run_id, {', '.join(columns)} from metrics "
        f"where name in ({', '.join(dict.fromkeys(wanted))}) group by run_id"
    )


def _under(name: str) -> tuple[str, str]:
    """The protocol of a figure's name, and the rest of it."""
    protocol, dot, rest = name.partition(".")
    return (protocol, rest) if dot and protocol in PROTOCOLS else (PROTOCOLS[0], name)


def _params(params: dict[str, bool]) -> str:
    wanted = ", ".join(map(quoted, params))
    values = ", ".join(
        f"any_value({'number' if numeric else 'value'}) "
        f"filter (where name = {quoted(name)}) as p{i}"
        for i, (name, numeric) in enumerate(params.items())
    )
    return f"select run_id, {values} from params where name in ({wanted}) group by run_id"


def _typed(history: History, params: tuple[str, ...]) -> dict[str, bool]:
    """By name, whether every value of it is a number."""
    if not params:
        return {}
    wanted = ", ".join("?" for _ in params)
    found = history.query(
        "select name, coalesce(bool_and(number is not null or value is null), true) from params "
        f"where name in ({wanted}) group by name",
        params,
    )
    numeric = {str(name): bool(number) for name, number in found.rows}
    if set(numeric) != set(params):
        _check_known(history, "params", params)
    return {name: numeric.get(name, False) for name in params}


def _check_known(history: History, view: str, names: tuple[str, ...]) -> None:
    """Tell of a name that no run has; nothing to tell while there are no runs."""
    if not names:
        return
    known = {str(row[0]) for row in history.query(f"select distinct name from {view}").rows}
    for name in names:
        if known and name not in known:
            listed = f'`kdgat history sql "select distinct name from {view}"` lists them'
            raise HistoryError(
                f"no run has '{view}.{name}'", hint=did_you_mean(name, known, otherwise=listed)
            )


def _tree(names: dict[str, str]) -> dict[str, Any]:
    """Dotted names as nested mappings."""
    tree: dict[str, Any] = {}
    for name, column in names.items():
        *parents, last = name.split(".")
        inner = tree
        for parent in parents:
            below = inner.setdefault(parent, {})
            if not isinstance(below, dict):
                raise HistoryError(
                    f"'{name}' can't be asked beside '{'.'.join(parents)}'",
                    hint="ask for one of them, or use `kdgat history sql`",
                )
            inner = below
        if last in inner:
            raise HistoryError(
                f"'{name}' can't be asked beside what lies below it",
                hint="ask for one of them, or use `kdgat history sql`",
            )
        inner[last] = column
    return tree


def _struct(tree: dict[str, Any]) -> str:
    inner = (
        f"{quoted(name)}: {_struct(value) if isinstance(value, dict) else value}"
        for name, value in tree.items()
    )
    return "{" + ", ".join(inner) + "}"
