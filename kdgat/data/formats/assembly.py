"""From the fields of each row, as text, to the table of messages and the report of oddities.

Every reader cuts its lines into the same fields and ends here, so that a bad timestamp or an odd
payload is treated alike in every format.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from kdgat.data.formats.payloads import decode_payloads, hex_number
from kdgat.data.formats.text import BadRows
from kdgat.data.messages import EXTENDED_ID_MAX, MESSAGE_SCHEMA, Capture
from kdgat.data.names import is_attack_free
from kdgat.data.oddities import Oddity

STANDARD_ID_MAX = 0x7FF
"""Largest 11-bit arbitration id."""


def assemble(path: Path, fields: pl.DataFrame, separator: str = "") -> Capture:
    """The capture in `path`, from one row of `fields` a message, in the file's order.

    Args:
        path: the raw file, whose name may say that it is free of attacks.
        fields: `line` (from 1), and as text `timestamp` (seconds), `arbitration_id` (hex) and
            `payload` (hex bytes, null when empty); `attack` (Boolean). Where the format has them
            also `dlc` (text), and Booleans `remote`, `extended`, `fd`, `error`.
        separator: what stands between two bytes of a payload.

    Raises:
        BadRows: no row, or timestamps or arbitration ids that can't be parsed.
    """
    if fields.is_empty():
        raise BadRows((1,), "there is no message in the file")
    numbers = fields.select(
        pl.col("timestamp").cast(pl.Float64, strict=False),
        hex_number(pl.col("arbitration_id"), pl.UInt32).alias("arbitration_id"),
    )
    decoded = decode_payloads(fields["payload"], separator)
    messages = decoded.with_columns(
        _check_times(fields, numbers["timestamp"]),
        _check_ids(fields, numbers["arbitration_id"]),
        fields["attack"],
        decoded["malformed"] | _flag(fields, "error"),
    ).select(pl.col(name).cast(dtype) for name, dtype in MESSAGE_SCHEMA.items())
    return Capture(messages, _oddities(path, fields, messages, decoded["malformed"]))


def _check_times(fields: pl.DataFrame, seconds: pl.Series) -> pl.Series:
    good = seconds.is_finite().fill_null(False)
    if not good.all():
        _complain(fields, ~good, "timestamp", "a number of seconds")
    return seconds


def _check_ids(fields: pl.DataFrame, ids: pl.Series) -> pl.Series:
    length = fields["arbitration_id"].str.len_bytes()
    if "error" in fields.columns:
        # SocketCAN marks an error frame by a bit above the id.
        ids = ids.zip_with(~fields["error"], ids & EXTENDED_ID_MAX)
    good = ids.is_not_null() & (length > 0) & (length <= 8) & (ids <= EXTENDED_ID_MAX)
    good = good.fill_null(False)
    if not good.all():
        expected = f"a hexadecimal id up to {EXTENDED_ID_MAX:X}"
        _complain(fields, ~good, "arbitration_id", expected)
    return ids


def _complain(fields: pl.DataFrame, bad: pl.Series, name: str, expected: str) -> None:
    first = fields[name].filter(bad)[0]
    raise BadRows(fields["line"].filter(bad), f"{name} '{first or ''}' is not {expected}")


def _flag(fields: pl.DataFrame, name: str) -> pl.Series:
    if name in fields.columns:
        return fields[name]
    return pl.repeat(False, len(fields), dtype=pl.Boolean, eager=True)


def _oddities(
    path: Path, fields: pl.DataFrame, messages: pl.DataFrame, odd_payload: pl.Series
) -> tuple[Oddity, ...]:
    lines = fields["line"]
    ids = fields["arbitration_id"]
    extended = (messages["arbitration_id"] > STANDARD_ID_MAX) | _flag(fields, "extended")
    steps = messages["timestamp"].diff().fill_null(0.0)
    found = [
        _count("odd payload", odd_payload, lines, fields["payload"]),
        _count("backward time step", steps < 0, lines, steps.round(6), " s"),
        _count("extended id", extended, lines, ids),
        _count("remote frame", _flag(fields, "remote"), lines, ids),
        _count("CAN FD frame", _flag(fields, "fd"), lines, ids),
        _count("error frame", _flag(fields, "error"), lines, ids),
    ]
    if "dlc" in fields.columns:
        declared = fields["dlc"].cast(pl.UInt8, strict=False).clip(upper_bound=8)
        # A remote frame's DLC is the length that it asks for.
        differs = ~declared.eq_missing(messages["dlc"]) & ~_flag(fields, "remote")
        found.append(_count("DLC disagrees", differs, lines, fields["dlc"]))
    if is_attack_free(path):
        attack = messages["attack"]
        found.append(_count("attack row in an attack-free file", attack, lines, ids))
    return tuple(oddity for oddity in found if oddity.count)


def _count(
    kind: str, odd: pl.Series, lines: pl.Series, example: pl.Series, unit: str = ""
) -> Oddity:
    count = int(odd.sum())
    if not count:
        return Oddity(kind, 0)
    first = int(odd.arg_true()[0])
    return Oddity(kind, count, int(lines[first]), f"{example[first]}{unit}")
