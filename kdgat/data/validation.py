"""What every table of messages must hold, as a pandera schema.

A reader that breaks this has a defect; a Parquet file that does was made by something else.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import polars as pl

from kdgat.data.messages import EXTENDED_ID_MAX, MESSAGE_SCHEMA
from kdgat.errors import DataError

if TYPE_CHECKING:
    from pandera.polars import DataFrameSchema, PolarsData

_EXPECTED = {
    "timestamp": "a finite number of seconds",
    "arbitration_id": f"an id up to {EXTENDED_ID_MAX:X} (hexadecimal)",
    "dlc": "a length of 0 to 8 bytes",
    "payload": "zero beyond the bytes that the DLC says",
}
# Per DLC, the bits of the payload that lie beyond its bytes.
_BEYOND = {dlc: 0xFFFF_FFFF_FFFF_FFFF >> (8 * dlc) for dlc in range(9)}


def validate(messages: pl.DataFrame, source: str) -> pl.DataFrame:
    """`messages` as they are, when they are a table of messages (MESSAGE_SCHEMA).

    Args:
        messages: the table.
        source: where it is from, for the error.

    Raises:
        DataError: a column is missing, extra or of another type, or a value is out of its range;
            names the column, the value and the row (counted from 1).
    """
    if messages.columns != list(MESSAGE_SCHEMA):
        expected, found = ", ".join(MESSAGE_SCHEMA), ", ".join(messages.columns)
        raise _error(source, f"expected the columns {expected}, found {found or 'none'}")
    # Here, because pandera takes over a second to import.
    from pandera.errors import SchemaErrors

    try:
        _schema().validate(messages, lazy=True)
    except SchemaErrors as error:
        first = pl.DataFrame(error.failure_cases).row(0, named=True)
        raise _error(source, _explain(first)) from error
    return messages


@cache
def _schema() -> DataFrameSchema:
    import pandera.polars as pa

    checks = {
        "timestamp": pa.Check(_finite),
        "arbitration_id": pa.Check.le(EXTENDED_ID_MAX),
        "dlc": pa.Check.le(8),
        "payload": pa.Check(_zero_beyond_dlc),
    }
    return pa.DataFrameSchema(
        {
            name: pa.Column(dtype, checks.get(name), nullable=False)
            for name, dtype in MESSAGE_SCHEMA.items()
        }
    )


def _finite(data: PolarsData) -> pl.LazyFrame:
    return data.lazyframe.select(pl.col("timestamp").is_finite())


def _zero_beyond_dlc(data: PolarsData) -> pl.LazyFrame:
    beyond = pl.col("dlc").replace_strict(_BEYOND, default=0, return_dtype=pl.UInt64)
    return data.lazyframe.select((pl.col("payload") & beyond) == 0)


def _explain(case: dict[str, Any]) -> str:
    """One sentence for a row of pandera's table of failures."""
    column, value = case["column"], case["failure_case"]
    if case["index"] is None:
        return f"column '{column}' is {value}, expected {MESSAGE_SCHEMA[column]}"
    expected = _EXPECTED.get(column, "a value")
    shown = "missing" if value is None else value
    return f"column '{column}', row {case['index'] + 1}: {shown} is not {expected}"


def _error(source: str, complaint: str) -> DataError:
    return DataError(
        f"'{source}' is not a table of messages: {complaint}",
        hint="ingest the raw file again with `kdgat data ingest NAME --raw DIR --force`",
    )
