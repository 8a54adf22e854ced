"""A table as an answer: what every list of runs, models and figures is told in."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from kdgat.mcp.answers import Cell, next_of, page

_DIGITS = 6
"""Significant digits of a figure: the ones after it are noise, and cost tokens."""
_LONGEST = 500
"""Characters of a text in a row; a reason or a list may be longer."""

Row = tuple[Cell, ...]


@dataclass(frozen=True)
class TableAnswer:
    """Rows under their columns. `notes` says what to know before believing them."""

    title: str
    columns: tuple[str, ...]
    items: tuple[Row, ...]
    total: int
    next_cursor: str | None
    truncated: bool
    hint: str
    notes: tuple[str, ...]

    def summary(self) -> str:
        """The title, and how many of the rows are here."""
        part = f"{len(self.items):,} of " * (len(self.items) < self.total)
        rows = f"{part}{self.total:,}"
        noted = f"; {self.notes[0]}" if self.notes else ""
        return f"{self.title}: {rows} row{'s' * (self.total != 1)}{noted}"


def table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    cursor: str,
    limit: int,
    *,
    hint: str = "",
    notes: Sequence[str] = (),
) -> TableAnswer:
    """One page of all the rows."""
    cells = [row_of(row) for row in rows]
    items, after = page(cells, cursor, limit)
    return TableAnswer(
        title, tuple(columns), items, len(cells), after, after is not None, hint, tuple(notes)
    )


def table_page(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    total: int,
    cursor: str,
    *,
    hint: str = "",
    notes: Sequence[str] = (),
) -> TableAnswer:
    """A page of which the other rows were not fetched."""
    items = tuple(map(row_of, rows))
    after = next_of(cursor, len(items), total)
    return TableAnswer(
        title, tuple(columns), items, total, after, after is not None, hint, tuple(notes)
    )


def facts(values: Mapping[str, object], prefix: str = "") -> list[tuple[str, object]]:
    """Rows of a name and a value, of those that have one."""
    return [(prefix + name, value) for name, value in values.items() if value not in (None, ())]


def row_of(values: Iterable[object]) -> Row:
    """A row of JSON's own values, figures shortened to six digits."""
    return tuple(map(cell, values))


def cell(value: object) -> Cell:
    """One value of a row."""
    match value:
        case bool() | int() | None:
            return value
        case float():
            return _figure(value)
        case date():
            return value.isoformat()
        case list() | tuple():
            return cell(", ".join(str(cell(each)) for each in value))
        case _:
            text = str(value)
            return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text):,})"


def _figure(value: float) -> float | int | None:
    if not math.isfinite(value):
        return None
    short = float(f"{value:.{_DIGITS}g}")
    # What was an integer in the config is a DOUBLE in the views.
    return int(value) if value.is_integer() and abs(value) < 2**53 else short
