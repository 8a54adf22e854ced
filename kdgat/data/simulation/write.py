"""A capture as a gzipped file in the format of can-train-and-test (Lampe and Meng).

The text is made as one table of characters, a row a line, from which the places of missing payload
bytes are left out; it has the same bytes wherever it is made.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, UInt8

from kdgat.data.simulation.bus import Traffic
from kdgat.ledger.files import atomic_path

HEADER = b"timestamp,arbitration_id,data_field,attack\n"

_HEX = np.frombuffer(b"0123456789ABCDEF", dtype=np.uint8)
_ZERO, _COMMA, _POINT, _NEWLINE = b"0,.\n"
# Columns of a line: 10 digits, a point and 6 digits of time, the id, the payload, the label.
_POINT_AT, _ID_AT, _PAYLOAD_AT, _LABEL_AT, _WIDTH = 10, 18, 22, 39, 41


def write_capture(
    path: Path, traffic: Traffic, passed_s: Float[np.ndarray, " messages"], epoch_us: int
) -> None:
    """Write the capture to `path`, whole or not at all; its clock shows `epoch_us` at its begin.

    Raises:
        StorageError: the file system refused.
    """
    body = gzip_bytes(HEADER + render(traffic, passed_s, epoch_us))
    with atomic_path(path) as aside:
        aside.write_bytes(body)


def render(traffic: Traffic, passed_s: Float[np.ndarray, " messages"], epoch_us: int) -> bytes:
    """The lines of the capture, without the header."""
    time_us = epoch_us + np.rint(passed_s * 1e6).astype(np.int64)
    line = np.full((len(traffic), _WIDTH), _COMMA, dtype=np.uint8)
    line[:, :_POINT_AT] = _decimal(time_us // 10**6, 10)
    line[:, _POINT_AT] = _POINT
    line[:, _POINT_AT + 1 : _ID_AT - 1] = _decimal(time_us % 10**6, 6)
    for place in range(3):
        line[:, _ID_AT + place] = _HEX[(traffic.arbitration_id >> (8 - 4 * place)) & 0xF]
    line[:, _PAYLOAD_AT : _LABEL_AT - 1 : 2] = _HEX[traffic.payload >> 4]
    line[:, _PAYLOAD_AT + 1 : _LABEL_AT - 1 : 2] = _HEX[traffic.payload & 0xF]
    line[:, _LABEL_AT] = _ZERO + traffic.attack
    line[:, -1] = _NEWLINE
    keep = np.ones(line.shape, dtype=bool)
    keep[:, _PAYLOAD_AT : _LABEL_AT - 1] = np.arange(16) < 2 * traffic.dlc[:, None]
    return line[keep].tobytes()


def gzip_bytes(body: bytes) -> bytes:
    """`body` compressed; the time of writing is left out, so that equal bodies stay equal."""
    return gzip.compress(body, compresslevel=6, mtime=0)


def _decimal(
    numbers: Int[np.ndarray, " messages"], digits: int
) -> UInt8[np.ndarray, "messages digits"]:
    powers = 10 ** np.arange(digits - 1, -1, -1)
    return (_ZERO + numbers[:, None] // powers % 10).astype(np.uint8)
