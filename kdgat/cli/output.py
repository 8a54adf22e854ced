"""How results reach a person or a pipe: tables, JSON, progress, errors."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from kdgat.errors import KdgatError
from kdgat.progress import Progress as Listener
from kdgat.progress import quiet

_WIDTH_WITHOUT_TERMINAL = 200
_NEVER_BROKEN = 24
"""Longest cell that is never broken over two lines: run ids and numbers stay whole."""
_NEVER_SQUEEZED = 22
"""Width that a column of longer text keeps, however narrow the terminal."""

# emoji=False: in a path, `:id:` is no picture.
out = Console(
    highlight=False, emoji=False, width=None if sys.stdout.isatty() else _WIDTH_WITHOUT_TERMINAL
)
err = Console(stderr=True, highlight=False, emoji=False)


def print_json(result: Any) -> None:
    """A result as JSON on standard output, the same fields as the operation's."""
    sys.stdout.write(json.dumps(_plain(result), indent=2, ensure_ascii=False) + "\n")


def print_json_line(result: Any) -> None:
    """A result as one line of JSON, at once: one of many that follow each other."""
    sys.stdout.write(json.dumps(_plain(result), ensure_ascii=False) + "\n")
    sys.stdout.flush()


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table below its title, numbers to the right."""
    cells = [[cell(value) for value in row] for row in rows]
    table = Table(
        header_style="dim",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for number, column in enumerate(columns):
        texts = [row[number] for row in cells]
        right = bool(cells) and all(_looks_numeric(text) for text in texts)
        longest = max(map(len, texts), default=0)
        table.add_column(
            column,
            justify="right" if right else "left",
            overflow="fold",
            no_wrap=longest <= _NEVER_BROKEN,
            min_width=min(longest, _NEVER_SQUEEZED),
        )
    for row in cells:
        # Text, not markup: a name or a path may hold square brackets.
        table.add_row(*(Text(text) for text in row))
    # A title of the table's own would be broken at the table's width, be it in mid-word.
    out.print(Text(title, style="bold"))
    out.print(table)


def say(*lines: str) -> None:
    """Plain lines on standard output, never read as markup."""
    for line in lines:
        out.print(line, markup=False, soft_wrap=True)


def warn(*sentences: str | None) -> None:
    """What went wrong beside the work itself, on standard error."""
    for sentence in filter(None, sentences):
        err.print(f"warning: {sentence}", markup=False, soft_wrap=True)


def cell(value: object) -> str:
    """A value as a table shows it."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.4g}" if 0 < abs(value) < 1e-3 or abs(value) >= 1e6 else f"{value:.4f}"
        case int():
            return f"{value:,}"
        case tuple() | list():
            return ", ".join(cell(item) for item in value)
        case _:
            return str(value)


def counted(number: int, thing: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{number:,} {thing}{'s' * (number != 1)}"


def percent(share: float | None) -> str:
    """A share as a percentage."""
    return "-" if share is None else f"{100 * share:.1f} %"


@contextmanager
def progress_bar() -> Iterator[Listener]:
    """A listener that draws a bar on standard error; silent when that is no terminal.

    Long work is what runs under it, so this is also where an interrupt is told what it means.
    """
    try:
        with _listener() as listen:
            yield listen
    except KeyboardInterrupt:
        err.print(
            "interrupted; a training goes on from its last whole epoch (without --fresh)",
            markup=False,
        )
        raise


@contextmanager
def _listener() -> Iterator[Listener]:
    # Asked of the stream itself: rich takes FORCE_COLOR, which CI systems set, for a terminal.
    if not (sys.stderr.isatty() and err.is_terminal):
        yield quiet
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    bar = Progress(*columns, TimeRemainingColumn(), console=err, transient=True)
    task = bar.add_task("", total=None)

    def listen(what: str, done: int, total: int) -> None:
        bar.start()
        bar.update(task, description=what, completed=done, total=total)

    try:
        yield listen
    finally:
        bar.stop()


def print_error(error: KdgatError) -> None:
    """Two lines on standard error: what is wrong, and what to do."""
    err.print(f"error: {' '.join(error.problem.split())}", markup=False, soft_wrap=True)
    err.print(f"hint: {' '.join(error.hint.split())}", markup=False, soft_wrap=True)


def _plain(value: Any) -> Any:
    """JSON's own types: dataclasses by field, paths as text, no number that JSON lacks."""
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _looks_numeric(text: str) -> bool:
    return re.fullmatch(r"-|-?[\d,]+(\.\d+)?(e[+-]?\d+)?( %)?", text) is not None
