"""can-train-and-test CSV: `timestamp,arbitration_id,data_field,attack`, plain or packed with gzip.

    1513920167.161964,081,40844E00000000A4,0

Source: Lampe and Meng, can-train-and-test v1.5; HCRL sets in the same repackaging.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from kdgat.data.formats.assembly import assemble
from kdgat.data.formats.text import bad_row, cut_lines, read_text
from kdgat.data.messages import Capture
from kdgat.errors import DataError

HEADER = ("timestamp", "arbitration_id", "data_field", "attack")


def read(path: Path) -> Capture:
    """The capture in `path`, in the file's order.

    Raises:
        DataError: not a readable text file, another header, or a row that can't be parsed.
    """
    text = read_text(path)
    _check_header(path, text)
    rows = _drop_blank(_parse(path, text))
    _check_rows(path, text, rows)
    fields = rows.select(
        "line",
        "timestamp",
        "arbitration_id",
        pl.col("data_field").alias("payload"),
        pl.col("attack") == "1",
    )
    return assemble(path, fields)


def _check_header(path: Path, text: bytes) -> None:
    end = text.find(b"\n")
    found = text[: end if end >= 0 else None].decode().removeprefix("\ufeff").strip()
    if tuple(found.split(",")) != HEADER:
        raise DataError(
            f"'{path}', line 1: expected the header '{','.join(HEADER)}', found '{found[:80]}'",
            hint="check that the dataset's format is the file's",
        )


def _parse(path: Path, text: bytes) -> pl.DataFrame:
    """All fields as text: as a number, the id 1E5 would be 100,000."""
    try:
        return pl.read_csv(
            text,
            schema=dict.fromkeys(HEADER, pl.String),
            quote_char=None,
            row_index_name="line",
            row_index_offset=2,
        )
    except pl.exceptions.PolarsError as error:
        _check_widths(path, text)
        raise DataError(f"can't parse '{path}': {error}", hint="check that it is CSV") from error


def _drop_blank(rows: pl.DataFrame) -> pl.DataFrame:
    if not rows["attack"].null_count():
        return rows
    nothing = pl.all_horizontal(pl.col(HEADER[1:]).is_null())
    return rows.filter(~(nothing & (pl.col("timestamp").fill_null("").str.strip_chars() == "")))


def _check_rows(path: Path, text: bytes, rows: pl.DataFrame) -> None:
    """A label is 0 or 1; where there is none, the row may be too short."""
    bad = ~rows["attack"].is_in(["0", "1"]).fill_null(False)
    if not bad.any():
        return
    _check_widths(path, text)
    row = rows.row(int(bad.arg_true()[0]), named=True)
    raise bad_row(path, row["line"], f"attack '{row['attack'] or ''}' is not 0 or 1")


def _check_widths(path: Path, text: bytes) -> None:
    """Name the first row that has not one field a column."""
    lines = cut_lines(text)
    widths = lines["text"].str.count_matches(",", literal=True) + 1
    wrong = (widths != len(HEADER)).arg_true()
    if not wrong.is_empty():
        line, row = lines.row(int(wrong[0]))
        complaint = f"expected {len(HEADER)} fields, found {widths[int(wrong[0])]}: '{row[:80]}'"
        raise bad_row(path, line, complaint)
