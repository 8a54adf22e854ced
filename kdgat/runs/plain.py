"""The rows of an answer as values that JSON can hold."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from kdgat.runs.rows import Row


def plain_rows(rows: Sequence[Row], max_characters: int) -> tuple[tuple[Row, ...], bool]:
    """The rows, and whether they were cut because their text grew too long."""
    by_column: list[tuple[Any, ...]] = list(zip(*rows, strict=True))
    columns = [_plain_column(column) for column in by_column]
    plain = tuple(zip(*(values for values, _ in columns), strict=True))
    if sum(count for _, count in columns) <= max_characters:
        return plain, False
    kept: list[Row] = []
    left = max_characters
    for row in plain:
        kept.append(tuple(v[:max_characters] if isinstance(v, str) else v for v in row))
        left -= sum(len(value) for value in row if isinstance(value, str))
        if left < 0:
            break
    return tuple(kept), True


def _plain_column(column: tuple[Any, ...]) -> tuple[Sequence[Any], int]:
    """A column's values as JSON can hold them, and how many characters of text they are."""
    kinds = set(map(type, column)) - {type(None)}
    if not kinds <= {bool, int, float, str}:
        column = tuple(map(_plain, column))
        kinds = set(map(type, column)) - {type(None)}
    return column, sum(len(v) for v in column if isinstance(v, str)) if str in kinds else 0


def _plain(value: Any) -> Any:
    match value:
        case None | bool() | int() | float() | str():
            return value
        case datetime() | date():
            return value.isoformat()
        case list() | tuple():
            return [_plain(item) for item in value]
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
        case _:
            return str(value)
