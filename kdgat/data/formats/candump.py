"""SocketCAN candump: its log file and what it prints on a terminal with `-t a`.

    (1436509052.249713) vcan0 044#2A366C2BBA
    (1436509052.249713) vcan0 044   [5]  2A 36 6C 2B BA

The two are told apart by the first line. Nothing is labelled, so every message counts as benign.
An id of eight digits is extended; `#R` asks for a frame; `##` and a flag digit mark CAN FD.
Source: can-utils, candump and the log format of log2asc.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from kdgat.data.formats.assembly import assemble
from kdgat.data.formats.text import cut_lines, match_lines
from kdgat.data.messages import Capture

# Both have the groups time, id, mark and data: `#` or `##`, or the DLC in brackets.
_LOG = r"^\(([^)]*)\)\s+\S+\s+([^#\s]*)(##?)(\S*)(?:\s+[RT])?$"
_CONSOLE = r"^\(([^)]*)\)\s+\S+\s+(?:[RT]X [-B] [-E]\s+)?(\S+)\s+\[(\d+)\]\s*(.*?)(?:\s+'.*')?$"
_FIELDS = ("timestamp", "arbitration_id", "mark", "data")
_LAYOUT = "(time) interface id#data"
_ERROR_FLAG = 0x2000_0000


def parse(path: Path, text: bytes, head: str) -> Capture:
    """The messages in `text`, in its order; `head` is the first line of the capture `path`.

    Raises:
        BadRows: rows that can't be parsed.
    """
    lines = cut_lines(text)
    console = "#" not in head and "[" in head
    frames = match_lines(lines, _CONSOLE if console else _LOG, _FIELDS, _LAYOUT)
    fields = frames.select(
        "line",
        "timestamp",
        "arbitration_id",
        *(_console_fields() if console else _log_fields()),
        pl.lit(False).alias("attack"),
        (pl.col("arbitration_id").str.len_bytes() == 8).alias("extended"),
        _is_error_frame().alias("error"),
    )
    return assemble(path, fields, separator=" " if console else "")


def _log_fields() -> list[pl.Expr]:
    fd = pl.col("mark") == "##"
    remote = ~fd & pl.col("data").str.starts_with("R")
    data = pl.col("data")
    payload = pl.when(remote).then(pl.lit("")).when(fd).then(data.str.slice(1)).otherwise(data)
    return [payload.alias("payload"), remote.alias("remote"), fd.alias("fd")]


def _console_fields() -> list[pl.Expr]:
    remote = pl.col("data").str.starts_with("remote request")
    payload = pl.when(remote).then(pl.lit("")).otherwise(pl.col("data"))
    # candump writes the length of a CAN FD frame with two digits.
    fd = pl.col("mark").str.len_bytes() == 2
    return [
        payload.alias("payload"),
        remote.alias("remote"),
        fd.alias("fd"),
        pl.col("mark").alias("dlc"),
    ]


def _is_error_frame() -> pl.Expr:
    text = pl.col("arbitration_id")
    number = text.str.to_integer(base=16, dtype=pl.Int64, strict=False)
    return (text.str.len_bytes() == 8) & (number & _ERROR_FLAG != 0).fill_null(False)
