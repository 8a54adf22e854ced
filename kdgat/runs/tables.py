"""Rows as Arrow tables with the columns of a view."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

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
    import pyarrow as pa

    schema = schema_of(view)
    columns = zip(*rows, strict=True) if rows else ([] for _ in schema)
    try:
        arrays = [
            pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)
        ]
    except (pa.ArrowException, OverflowError, TypeError) as error:
        raise ValueError(str(error)) from error
    return pa.Table.from_arrays(arrays, schema=schema)


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
