"""Rows as Arrow tables with the columns of a view.

Through Arrow's JSON reader: `pyarrow.array` would load all of pandas and Polars takes as long to
import as everything else here together, and a question from a cold process waits for that.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
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


def ids_table(run_ids: Iterable[str]) -> pa.Table:
    """Run ids as a table with the one column `run_id`."""
    import pyarrow as pa

    return _read(pa.schema([("run_id", pa.string())]), [(run_id,) for run_id in run_ids])


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
