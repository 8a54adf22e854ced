"""The schema of a message table names the column, the value and the row that break it."""

from __future__ import annotations

import subprocess
import sys

import polars as pl
import pytest

from kdgat.data.messages import MESSAGE_SCHEMA
from kdgat.data.validation import validate
from kdgat.errors import DataError

GOOD = pl.DataFrame(
    {
        "timestamp": [1.0, 2.0, 1.5],
        "arbitration_id": [0, 0x7FF, 0x1FFF_FFFF],
        "dlc": [0, 8, 2],
        "payload": [0, 0xFFFF_FFFF_FFFF_FFFF, 0xABCD << 48],
        "attack": [False, True, False],
        "malformed": [False, False, True],
    },
    schema=MESSAGE_SCHEMA,
)


def test_a_table_of_messages_passes_as_it_is() -> None:
    assert validate(GOOD, "a.csv") is GOOD


def replaced(column: str, values: list[object], dtype: pl.DataType | None = None) -> pl.DataFrame:
    series = pl.Series(column, values, dtype=dtype or MESSAGE_SCHEMA[column])
    return GOOD.with_columns(series)


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        (
            replaced("timestamp", [1.0, float("inf"), 2.0]),
            "column 'timestamp', row 2: inf is not a finite number of seconds",
        ),
        (
            replaced("timestamp", [1.0, 2.0, float("nan")]),
            "column 'timestamp', row 3: NaN is not a finite number of seconds",
        ),
        (
            replaced("arbitration_id", [1, 2, 0x2000_0000]),
            "column 'arbitration_id', row 3: 536870912 is not an id up to 1FFFFFFF (hexadecimal)",
        ),
        (
            replaced("dlc", [0, 9, 2]),
            "column 'dlc', row 2: 9 is not a length of 0 to 8 bytes",
        ),
        (
            replaced("dlc", [0, 8, 1]),
            f"column 'payload', row 3: {0xABCD << 48} is not zero beyond the bytes that the "
            "DLC says",
        ),
        (
            replaced("attack", [True, None, True]),
            "column 'attack', row 2: missing is not a value",
        ),
        (
            replaced("dlc", [0, 8, 2], pl.Int64()),
            "column 'dlc' is Int64, expected UInt8",
        ),
        (
            GOOD.drop("attack"),
            "expected the columns timestamp, arbitration_id, dlc, payload, attack, malformed, "
            "found timestamp, arbitration_id, dlc, payload, malformed",
        ),
    ],
)
def test_what_breaks_the_schema_is_named(table: pl.DataFrame, complaint: str) -> None:
    with pytest.raises(DataError) as caught:
        validate(table, "a.csv")
    assert caught.value.problem == f"'a.csv' is not a table of messages: {complaint}"
    assert "kdgat data ingest" in caught.value.hint


def test_importing_the_module_does_not_import_pandera() -> None:
    code = "import sys, kdgat.data.validation; sys.exit('pandera' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
