"""The one table of CAN messages that every reader returns and every later step takes."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from kdgat.data.oddities import Oddity

MESSAGE_SCHEMA: dict[str, pl.DataType] = {
    "timestamp": pl.Float64(),
    "arbitration_id": pl.UInt32(),
    "dlc": pl.UInt8(),
    "payload": pl.UInt64(),
    "attack": pl.Boolean(),
    "malformed": pl.Boolean(),
}
"""Columns of a message table, in this order.

timestamp: seconds, the capture's own clock; rows keep the order of the file, never sorted.
arbitration_id: 11 or 29 bits.
dlc: payload length in bytes, 0 to 8.
payload: bytes big-endian, the first byte in the top eight bits, missing bytes zero.
attack: the message was injected.
malformed: the row's payload could not be taken as it stood (see the capture's oddities).
"""

LABEL = "attack"
"""The column that a model never sees, and an evaluation only after its scores are written."""
EXTENDED_ID_MAX = 0x1FFF_FFFF
"""Largest 29-bit arbitration id."""


@dataclass(frozen=True)
class Capture:
    """One file's messages in the file's order, and what was odd about them."""

    messages: pl.DataFrame
    oddities: tuple[Oddity, ...] = field(default=())
