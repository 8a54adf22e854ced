"""Results that are tables: shown as one in a shell or a notebook, and given as a polars frame.

A dataclass that derives from `Tabular` says in `grids` which rows it has. Nothing but the standard
library is imported until a frame is asked for, so that a command pays nothing for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import polars as pl

_Item = TypeVar("_Item")
_MOST_ROWS = 20
"""Rows that are shown; a frame has all."""
_MOST_COLUMNS = 10
"""Columns that are shown of a table that does not name the ones to show."""
_MOST_CHARACTERS = 48
"""Of a cell that is shown."""
_TOLD = ("notes", "cautions", "warnings", "faults", "broken")
"""Fields of a result whose sentences are shown below it."""


@dataclass(frozen=True)
class Grid:
    """Rows of one kind."""

    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    title: str = ""
    labels: dict[str, object] = field(default_factory=dict)
    """What holds of every row; columns of a frame, and no columns of what is shown."""
    shown: tuple[str, ...] = ()
    """Columns to show; a name stands for its parts too. None: the first ones."""


class Tabular:
    """A result that is shown as a table, in text and in a notebook, and is a frame on demand."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        # Of its own, since a dataclass makes a __repr__ for a class that has none of its own.
        cls.__repr__ = Tabular.__repr__

    def grids(self) -> tuple[Grid, ...]:
        """The tables to show, one below the other; by default that of the field `items`."""
        return (grid_of(getattr(self, "items")),)  # noqa: B009

    def remarks(self) -> tuple[str, ...]:
        """Lines to show below the tables; by default what the usual fields hold."""
        told = [line for name in _TOLD for line in getattr(self, name, ())]
        return (*told, *["there are more"] * bool(getattr(self, "truncated", False)))

    def to_polars(self) -> pl.DataFrame:
        """Every row and column; nested fields have dotted names such as `score.mean`.

        Of several tables all rows, with columns that tell them apart, such as `protocol`.
        """
        import polars as pl

        rows = [
            dict(grid.labels) | dict(zip(grid.columns, row, strict=True))
            for grid in self.grids()
            for row in grid.rows
        ]
        empty = [name for grid in self.grids() for name in (*grid.labels, *grid.columns)]
        names = dict.fromkeys([*(name for row in rows for name in row), *empty])
        return pl.DataFrame(
            [pl.Series(name, [row.get(name) for row in rows], strict=False) for name in names]
        )

    def __repr__(self) -> str:
        parts = [_text(grid) for grid in self.grids()] or ["nothing"]
        return "\n\n".join(parts) + "".join(f"\n{line}" for line in self.remarks())

    def _repr_html_(self) -> str:
        parts = [_html(grid) for grid in self.grids()] or ["<p>nothing</p>"]
        return "\n".join([*parts, *(f"<p>{escape(line)}</p>" for line in self.remarks())])


class Listing(Tabular, tuple[_Item, ...]):
    """A tuple of rows that shows itself as a table."""

    def grids(self) -> tuple[Grid, ...]:
        """One table, a row for each item."""
        return (grid_of(self),)


def grid_of(
    items: Iterable[object],
    *,
    title: str = "",
    labels: Mapping[str, object] | None = None,
    shown: tuple[str, ...] = (),
) -> Grid:
    """A table of dataclasses or mappings; a column is there if any item has it."""
    rows = [flat(item) for item in items]
    every = dict.fromkeys(name for row in rows for name in row)
    # Where one row has a part and another has None instead, the part's columns say it all.
    split = {name[:dot] for name in every for dot, letter in enumerate(name) if letter == "."}
    names = tuple(
        name
        for name in every
        if name not in split or any(row.get(name) is not None for row in rows)
    )
    cells = tuple(tuple(map(row.get, names)) for row in rows)
    return Grid(names, cells, title, dict(labels or {}), shown)


def flat(item: object) -> dict[str, object]:
    """The leaves of a dataclass or a mapping by dotted names; sequences stay whole."""
    return dict(_leaves("", item))


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


def _leaves(name: str, value: object) -> Iterator[tuple[str, object]]:
    inner = _parts(value)
    if inner is None:
        yield name, _plain(value)
        return
    for key, each in inner.items():
        yield from _leaves(f"{name}.{key}" if name else str(key), each)


def _parts(value: object) -> Mapping[Any, object] | None:
    """What a value consists of by name; None of a leaf."""
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: getattr(value, each.name) for each in fields(value)}
    return value if isinstance(value, Mapping) else None


def _plain(value: object) -> object:
    """A leaf as a frame can hold it."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple | list):
        return [flat(each) if _parts(each) is not None else _plain(each) for each in value]
    return value


def _seen(grid: Grid) -> tuple[list[str], list[list[str]], list[bool], str]:
    """Columns and cells to show, which columns are of numbers, and what was left out."""
    places = [
        number
        for one in grid.shown or grid.columns[:_MOST_COLUMNS]
        for number, name in enumerate(grid.columns)
        if name == one or (grid.shown and name.startswith(f"{one}."))
    ]
    rows = grid.rows[:_MOST_ROWS]
    cells = [[_short(row[place]) for place in places] for row in rows]
    numeric = [
        any(isinstance(row[place], int | float) for row in rows)
        and all(isinstance(row[place], int | float | None) for row in rows)
        for place in places
    ]
    more = (
        f"{len(grid.rows) - len(rows):,} more rows" * (len(grid.rows) > len(rows)),
        f"{len(grid.columns) - len(places)} more columns" * (len(grid.columns) > len(places)),
    )
    left = " and ".join(filter(None, more))
    return [grid.columns[place] for place in places], cells, numeric, left


def _short(value: object) -> str:
    text = " ".join(cell(value).split())
    return text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 1] + "…"


def _text(grid: Grid) -> str:
    columns, cells, numeric, left = _seen(grid)
    widths = [
        max(map(len, (name, *(row[place] for row in cells)))) for place, name in enumerate(columns)
    ]

    def line(values: Sequence[str]) -> str:
        columns = zip(values, widths, numeric, strict=True)
        return "  ".join(
            text.rjust(width) if right else text.ljust(width) for text, width, right in columns
        ).rstrip()

    head = [grid.title] if grid.title else []
    body = [line(columns), line(["─" * width for width in widths]), *map(line, cells)]
    tail = [f"({left}: to_polars())"] if left else []
    return "\n".join([*head, *(body if cells else ["no rows"]), *tail])


def _html(grid: Grid) -> str:
    """The table as HTML that runs nothing: every text in it is escaped."""
    columns, cells, numeric, left = _seen(grid)
    sides = ["right" if number else "left" for number in numeric]

    def row(tag: str, values: Sequence[str]) -> str:
        inner = (
            f'<{tag} style="text-align: {side}">{escape(text)}</{tag}>'
            for side, text in zip(sides, values, strict=True)
        )
        return f"<tr>{''.join(inner)}</tr>"

    caption = f"<caption>{escape(grid.title)}</caption>" if grid.title else ""
    tail = f"<p>{left}: <code>to_polars()</code></p>" if left else ""
    if not cells:
        return f"<p>{escape(grid.title)}: no rows</p>" if grid.title else "<p>no rows</p>"
    body = "".join(row("td", values) for values in cells)
    return f"<table>{caption}<thead>{row('th', columns)}</thead><tbody>{body}</tbody></table>{tail}"
