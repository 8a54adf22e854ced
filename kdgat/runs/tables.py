"""Rows as tables with the columns of a view: Arrow's, or lists that DuckDB takes as parameters.

Arrow is for what goes into Parquet and for what is much. To import it takes longer than a question
from a cold process may, so what is little goes without. Through Arrow's JSON reader:
`pyarrow.array` would load all of pandas, and Polars takes as long to import as everything else.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from kdgat.runs.rows import Row
from kdgat.runs.views import VIEWS

if TYPE_CHECKING:
    import pyarrow as pa


def table_of(view: str, rows: list[Row]) -> pa.Table:
    """The rows as a table of the view's columns.

    Raises:
        ValueError: a value does not fit its column, such as a number beyond 64 bits or text that
            is no Unicode.
    """
    return _read(schema_of(view), rows)


def listed_sql(view: str) -> str:
    """A select that gives the rows of a view, whose parameters are those of `by_column`."""
    columns = enumerate(VIEWS[view].columns, start=1)
    return "select " + ", ".join(f"unnest(${i}::{c.kind}[]) as {c.name}" for i, c in columns)


def by_column(view: str, rows: Sequence[Row]) -> list[list[Any]]:
    """A list for each column of the view."""
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in VIEWS[view].columns]


def check_fit(view: str, rows: Iterable[Row]) -> None:
    """See that every value fits its column, as `table_of` does.

    Raises:
        ValueError: one does not.
    """
    checks = [(column, *_FITTING[column.kind]) for column in VIEWS[view].columns]
    for row in rows:
        for (column, kind, fits), value in zip(checks, row, strict=True):
            # Exactly these types: to Python, True is a whole number too.
            if value is not None and not (type(value) is kind and fits(value)):
                raise ValueError(f"{column.name} can't be {value!r:.80}")


def _is_text(value: str) -> bool:
    return value.isascii() or not any(0xD800 <= ord(letter) <= 0xDFFF for letter in value)


def _always(_value: object) -> bool:
    return True


_FITTING: dict[str, tuple[type, Callable[[Any], bool]]] = {
    "VARCHAR": (str, _is_text),
    "DOUBLE": (float, _always),
    "INTEGER": (int, lambda value: -(2**31) <= value < 2**31),
    "BIGINT": (int, lambda value: -(2**63) <= value < 2**63),
    "BOOLEAN": (bool, _always),
    "TIMESTAMP": (datetime, _always),
}
"""For each type of a column, the type of its values and what else must hold of them."""


def _read(schema: pa.Schema, rows: list[Row]) -> pa.Table:
    import pyarrow as pa
    from pyarrow import json as arrow_json

    if not rows:
        return schema.empty_table()
    names = schema.names
    text = "\n".join(
        json.dumps(dict(zip(names, row, strict=True)), default=_moment) for row in rows
    ).encode()
    reading = arrow_json.ReadOptions(use_threads=False, block_size=len(text) + 1)
    parsing = arrow_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error")
    try:
        return arrow_json.read_json(io.BytesIO(text), reading, parsing)
    except pa.ArrowException as error:
        raise ValueError(str(error)) from error


def _moment(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="microseconds")
    raise ValueError(f"{type(value).__name__} fits no column")


@cache
def schema_of(view: str) -> pa.Schema:
    """The view's columns as an Arrow schema."""
    import pyarrow as pa

    kinds = {
        "VARCHAR": pa.string(),
        "DOUBLE": pa.float64(),
        "INTEGER": pa.int32(),
        "BIGINT": pa.int64(),
        "BOOLEAN": pa.bool_(),
        "TIMESTAMP": pa.timestamp("us"),
    }
    return pa.schema([(column.name, kinds[column.kind]) for column in VIEWS[view].columns])
