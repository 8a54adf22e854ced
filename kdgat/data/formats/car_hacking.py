"""HCRL Car-Hacking: labelled CSV without a header, and the text of normal_run_data.txt.

    1478198376.389427,0316,8,05,21,68,09,21,21,00,6f,R
    Timestamp: 1479121434.850202        ID: 0350    000    DLC: 8    05 28 84 66 6d 00 00 a2

The label of the CSV is its last field, R (normal) or T (injected), whose place moves with the DLC.
The two are told apart by the first line. Source: Song, Woo and Kim 2020.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from kdgat.data.formats.assembly import assemble
from kdgat.data.formats.bus_logger import parse_frames
from kdgat.data.formats.text import BadRows, cut_lines
from kdgat.data.messages import Capture

_NORMAL_RUN = r"^Timestamp:\s*(\S+)\s+ID:\s*(\S+)\s+(\S+)\s+DLC:\s*(\S+)(?:\s+(.*))?$"
_LAYOUT = "Timestamp: time ID: id flags DLC: dlc bytes"
_FIELDS = ("timestamp", "arbitration_id", "dlc", "rest")


def parse(path: Path, text: bytes, head: str) -> Capture:
    """The messages in `text`, in its order; `head` is the first line of the capture `path`.

    Raises:
        BadRows: rows that can't be parsed.
    """
    lines = cut_lines(text)
    if head.startswith("Timestamp:"):
        return parse_frames(path, lines, _NORMAL_RUN, _LAYOUT)
    return assemble(path, _cut(lines), separator=",")


def _cut(lines: pl.DataFrame) -> pl.DataFrame:
    # A spreadsheet that saved the file fills short rows with commas.
    text = lines["text"].str.strip_chars_end(",")
    rows = text.str.splitn(",", len(_FIELDS)).struct.rename_fields(_FIELDS).struct.unnest()
    short = rows["rest"].is_null().arg_true()
    if not short.is_empty():
        row = lines["text"][int(short[0])]
        complaint = f"expected 'time,id,dlc,bytes,label', found '{row[:80]}'"
        raise BadRows(lines["line"].gather(short), complaint)
    rest = rows["rest"]
    _check_labels(lines["line"], rest)
    return rows.select(
        lines["line"],
        "timestamp",
        "arbitration_id",
        "dlc",
        # Without the label and the comma before it.
        rest.str.head(-2).alias("payload"),
        (rest.str.tail(1) == "T").alias("attack"),
    )


def _check_labels(lines: pl.Series, rest: pl.Series) -> None:
    good = rest.str.contains(r"(?:^|,)[RT]$")
    if not good.all():
        label = rest.filter(~good)[0].rsplit(",", 1)[-1]
        raise BadRows(lines.filter(~good), f"the label '{label}' is not R or T")
