"""`kdgat history ...` and `kdgat runs query`: ask what all runs were and did."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from kdgat.cli.options import AsJson
from kdgat.cli.output import counted, print_json, print_table, say
from kdgat.workspace import Workspace

if TYPE_CHECKING:
    from kdgat.runs.history import Table

_AT_COMMAS = re.compile(r",(?![^(]*\))")
"""Commas, but not those between the arguments of a function."""
_EXACT_BELOW = 2.0**53
"""Whole numbers up to here are doubles of their own."""

app = typer.Typer(help="Ask the run history in SQL.", no_args_is_help=True)


@app.command()
def sql(
    statement: Annotated[str, typer.Argument(help="One SELECT of the views.", show_default=False)],
    max_rows: Annotated[int, typer.Option(min=1, help="At most so many rows.")] = 1000,
    timeout_s: Annotated[float, typer.Option(help="Cut off after so many seconds.")] = 10.0,
    as_json: AsJson = False,
) -> None:
    """Ask in SQL. The views can be read and nothing else; `kdgat history tables` tells them.

    Example: kdgat history sql "select dataset, count(*) from runs group by dataset"
    """
    from kdgat.ops.history import history_sql

    table = history_sql(Workspace.find(), statement, max_rows=max_rows, timeout_s=timeout_s)
    _print(table, counted(len(table.rows), "row"), "raise --max-rows, or ask for less", as_json)


@app.command()
def tables(as_json: AsJson = False) -> None:
    """List the views, with their columns and what each means.

    Example: kdgat history tables
    """
    from kdgat.ops.history import history_tables

    found = history_tables(Workspace.find())
    if as_json:
        return print_json(found)
    for view in found.items:
        rows = ((column.name, column.kind.lower(), column.meaning) for column in view.columns)
        print_table(f"{view.name}: {view.meaning}", ("column", "type", "meaning"), rows)
    return None


@app.command()
def compact(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Report, and change nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compact the runs that have ended, so that questions are quick; happens by itself too.

    Example: kdgat history compact --dry-run
    """
    from kdgat.ops.history import history_compact

    done = history_compact(Workspace.find(), dry_run=dry_run)
    if as_json:
        return print_json(done)
    facts = {
        "outcome": done.outcome,
        "runs compacted": done.runs,
        "runs gone": done.gone,
        "runs left as they are": done.fresh,
        "parts": done.parts,
        "version": done.version,
    }
    return print_table("history", ("what", "value"), facts.items())


def query(
    where: Annotated[
        str | None,
        typer.Option(
            help="SQL condition on a run's columns, metrics.NAME and params.NAME.",
            show_default="every run",
        ),
    ] = None,
    order_by: Annotated[
        str | None,
        typer.Option(help="Such as 'metrics.f1 desc'.", show_default="the newest first"),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            help="What to tell, comma-separated.", show_default="a few, and what is asked by"
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the runs that fit a condition.

    A run's columns are those of the view `runs` (see `kdgat history tables`). `metrics.f1` is its
    own figure of that name, or else the mean over the test scenarios of its newest evaluation (all
    attack types, zero-shot). `params.model.hidden` is a value of its config. A name with other
    characters goes in double quotes: `metrics."val/loss"`.

    Example: kdgat runs query --where "metrics.f1 > .9 and params.model.hidden = 32"
    """
    from kdgat.ops.history import query_runs

    table = query_runs(
        Workspace.find(),
        where=where,
        order_by=order_by,
        columns=tuple(_AT_COMMAS.split(columns)) if columns else (),
        limit=limit,
    )
    _print(table, counted(len(table.rows), "run"), "raise --limit, or narrow --where", as_json)


def _print(table: Table, title: str, remedy: str, as_json: bool) -> None:
    if as_json:
        return print_json(table)
    print_table(title, table.columns, _with_whole_numbers(table.rows))
    if table.truncated:
        say(f"there are more: {remedy}")
    return say(*(f"warning: {each}" for each in table.warnings))


def _with_whole_numbers(rows: Sequence[Sequence[object]]) -> Iterator[tuple[object, ...]]:
    """The rows, with integers in the columns of floats that are all whole.

    Every parameter and figure is a DOUBLE in the views, also what was an integer in the config.
    """
    columns = list(zip(*rows, strict=True))
    whole = [_is_whole(values) for values in columns]
    for row in rows:
        yield tuple(
            int(value) if all_whole and isinstance(value, float) else value
            for value, all_whole in zip(row, whole, strict=True)
        )


def _is_whole(values: Sequence[object]) -> bool:
    """Whether every float among them is a whole number that a double holds exactly."""
    floats = [value for value in values if isinstance(value, float)]
    return all(value.is_integer() and abs(value) < _EXACT_BELOW for value in floats)
