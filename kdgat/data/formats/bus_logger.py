"""The lines of a bus logger that prints frames as text: normal_run_data.txt and the crysys trace.

Both give the id as four hex digits, then three digits that are read as remote, extended and error,
the order of the fields of ROS can_msgs/Frame; every frame seen so far has 000.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from kdgat.data.formats.assembly import assemble
from kdgat.data.formats.text import match_lines
from kdgat.data.messages import Capture

_GROUPS = ("timestamp", "arbitration_id", "flags", "dlc", "payload")


def parse_frames(path: Path, lines: pl.DataFrame, pattern: str, layout: str) -> Capture:
    """The capture whose `lines` (of `cut_lines`) match `pattern`, a regular expression.

    Its groups are timestamp, arbitration id, flags, DLC and payload; `layout` says the same to a
    person. Every message is benign.

    Raises:
        BadRows: lines that do not match, or with a value that can't be parsed.
    """
    frames = match_lines(lines, pattern, _GROUPS, layout)
    flags = pl.col("flags")
    fields = frames.select(
        "line",
        "timestamp",
        "arbitration_id",
        "dlc",
        pl.col("payload").str.replace_all(r"\s+", " "),
        pl.lit(False).alias("attack"),
        (flags.str.slice(0, 1) == "1").alias("remote"),
        (flags.str.slice(1, 1) == "1").alias("extended"),
        (flags.str.slice(2, 1) == "1").alias("error"),
    )
    return assemble(path, fields, separator=" ")
