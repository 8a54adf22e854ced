"""What stands in a payload: constants, counters, sensors, pages and checksums.

Each field writes its own bytes of many payloads at once. A checksum covers the others, so it is
the last field of its message.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int, UInt8

from kdgat.data.simulation.drive import Drive

ChecksumKind = Literal["xor", "sum", "crc8"]


@dataclass(frozen=True)
class Moment:
    """When the payloads of one message are made: times in seconds, and the how-manieth each is."""

    times_s: Float[np.ndarray, " messages"]
    turn: Int[np.ndarray, " messages"]
    drive: Drive
    rng: np.random.Generator


@runtime_checkable
class Field(Protocol):
    """A part of a payload."""

    def fill(self, payload: UInt8[np.ndarray, "messages 8"], moment: Moment) -> None:
        """Write the field's bytes into `payload`."""
        ...


@dataclass(frozen=True)
class Constant:
    """One byte that never changes."""

    offset: int
    value: int

    def fill(self, payload: UInt8[np.ndarray, "messages 8"], moment: Moment) -> None:  # noqa: ARG002
        """Write the field's byte."""
        payload[:, self.offset] = self.value


@dataclass(frozen=True)
class Counter:
    """One byte that counts the messages up to `modulus` (16 or 256) and begins again."""

    offset: int
    modulus: int

    def fill(self, payload: UInt8[np.ndarray, "messages 8"], moment: Moment) -> None:
        """Write the field's byte."""
        payload[:, self.offset] = moment.turn % self.modulus


@dataclass(frozen=True)
class Sensor:
    """One or two bytes of a signal, `gain` of the whole range wide, with the sensor's noise.

    `noise` is the standard deviation in units of the last bit.
    """

    offset: int
    width: int
    signal: str
    gain: float
    noise: float
    little_endian: bool

    def fill(self, payload: UInt8[np.ndarray, "messages 8"], moment: Moment) -> None:
        """Write the field's bytes."""
        full = 256**self.width - 1
        value = self.gain * full * moment.drive.at(self.signal, moment.times_s)
        value += self.noise * moment.rng.standard_normal(len(value))
        raw = np.clip(np.rint(value), 0, full).astype(np.int64)
        for place in range(self.width):
            byte = place if self.little_endian else self.width - 1 - place
            payload[:, self.offset + byte] = (raw >> (8 * place)) & 0xFF


@dataclass(frozen=True)
class Pages:
    """A multiplexed payload: the first byte says which page stands in the bytes after it."""

    offset: int
    pages: tuple[tuple[int, ...], ...]

    def fill(self, payload: UInt8[np.ndarray, "messages 8"], moment: Moment) -> None:
        """Write the field's bytes."""
        table = np.array(self.pages, dtype=np.uint8)
        page = moment.turn % len(table)
        payload[:, self.offset] = page
        payload[:, self.offset + 1 : self.offset + 1 + table.shape[1]] = table[page]


@dataclass(frozen=True)
class Checksum:
    """One byte over all bytes before it: their xor or sum, or the CRC-8 of SAE J1850."""

    offset: int
    kind: ChecksumKind
    salt: int

    def fill(self, payload: UInt8[np.ndarray, "messages 8"], moment: Moment) -> None:  # noqa: ARG002
        """Write the field's byte."""
        total = np.full(len(payload), self.salt, dtype=np.uint8)
        for column in range(self.offset):
            byte = payload[:, column]
            if self.kind == "xor":
                total ^= byte
            elif self.kind == "sum":
                total += byte
            else:
                total = _CRC8[total ^ byte]
        payload[:, self.offset] = total


def _crc8_table(polynomial: int = 0x1D) -> UInt8[np.ndarray, " 256"]:
    table = np.arange(256)
    for _ in range(8):
        table = np.where(table & 0x80, (table << 1) ^ polynomial, table << 1) & 0xFF
    return table.astype(np.uint8)


_CRC8 = _crc8_table()
