"""can-train-and-test CSV: `timestamp,arbitration_id,data_field,attack`, plain or packed with gzip.

    1513920167.161964,081,40844E00000000A4,0

Source: Lampe and Meng, can-train-and-test v1.5; HCRL sets in the same repackaging.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from kdgat.data.formats.assembly import assemble
from kdgat.data.formats.text import BadRows, cut_lines
from kdgat.data.messages import Capture

HEADER = ("timestamp", "arbitration_id", "data_field", "attack")


def parse(path: Path, text: bytes, head: str) -> Capture:
    """The messages in `text`, in its order; `head` is the first line of the capture `path`.

    It is the header, with which `text` may begin.

    Raises:
        BadRows: another header, or rows that can't be parsed.
    """
    _check_header(head)
    rows = _drop_blank(_cut(text))
    _check_rows(text, rows)
    fields = rows.select(
        "line",
        "timestamp",
        "arbitration_id",
        pl.col("data_field").alias("payload"),
        pl.col("attack") == "1",
    )
    return assemble(path, fields)


def is_header(line: str) -> bool:
    """Whether the columns are named so."""
    return tuple(line.removeprefix("\ufeff").strip().split(",")) == HEADER


def _check_header(head: str) -> None:
    if not is_header(head):
        raise BadRows((1,), f"expected the header '{','.join(HEADER)}', found '{head[:80]}'")


def _cut(text: bytes) -> pl.DataFrame:
    """All fields as text: as a number, the id 1E5 would be 100,000."""
    header = is_header(text.partition(b"\n")[0].decode())
    try:
        return pl.read_csv(
            # Without a header, polars would take the number of columns from the first line.
            text if header else ",".join(HEADER).encode() + b"\n" + text,
            schema=dict.fromkeys(HEADER, pl.String),
            quote_char=None,
            row_index_name="line",
            row_index_offset=1 + header,
        )
    except pl.exceptions.PolarsError as error:
        _check_widths(text)
        raise BadRows((1,), f"polars can't take it for CSV: {error}") from error


def _drop_blank(rows: pl.DataFrame) -> pl.DataFrame:
    if not rows["attack"].null_count():
        return rows
    nothing = pl.all_horizontal(pl.col(HEADER[1:]).is_null())
    return rows.filter(~(nothing & (pl.col("timestamp").fill_null("").str.strip_chars() == "")))


def _check_rows(text: bytes, rows: pl.DataFrame) -> None:
    """A label is 0 or 1; where there is none, the row may be too short."""
    bad = ~rows["attack"].is_in(["0", "1"]).fill_null(False)
    if not bad.any():
        return
    _check_widths(text)
    wrong = rows.filter(bad)
    raise BadRows(wrong["line"], f"attack '{wrong['attack'][0] or ''}' is not 0 or 1")


def _check_widths(text: bytes) -> None:
    """Name the rows that have not one field a column."""
    lines = cut_lines(text)
    widths = lines["text"].str.count_matches(",", literal=True) + 1
    wrong = (widths != len(HEADER)).arg_true()
    if not wrong.is_empty():
        row, width = lines["text"][int(wrong[0])], widths[int(wrong[0])]
        complaint = f"expected {len(HEADER)} fields, found {width}: '{row[:80]}'"
        raise BadRows(lines["line"].gather(wrong), complaint)
