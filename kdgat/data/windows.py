"""Windows of consecutive messages within one capture: where they start, what they are called.

A window never spans two captures, because every function here takes one capture. It is an attack
if any of its messages is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool, Float64, Int64, UInt8, UInt32, UInt64


@dataclass(frozen=True)
class Messages:
    """One capture's messages as arrays, in the file's order."""

    time_s: Float64[np.ndarray, "messages"]
    arbitration_id: UInt32[np.ndarray, "messages"]
    dlc: UInt8[np.ndarray, "messages"]
    payload: UInt64[np.ndarray, "messages"]

    @classmethod
    def from_frame(cls, frame: pl.DataFrame) -> Messages:
        """The columns a model may see; labels are not among them."""
        columns = ("timestamp", "arbitration_id", "dlc", "payload")
        return cls(*(frame[name].to_numpy() for name in columns))

    def __len__(self) -> int:
        return len(self.time_s)

    def at(self, chosen: Bool[np.ndarray, "messages"]) -> Messages:
        """Some of the messages, in their order."""
        return Messages(
            self.time_s[chosen], self.arbitration_id[chosen], self.dlc[chosen], self.payload[chosen]
        )

    def span(self, first: int, last: int) -> Messages:
        """Messages `first` to `last`, the last left out."""
        part = slice(first, last)
        return Messages(
            self.time_s[part], self.arbitration_id[part], self.dlc[part], self.payload[part]
        )


def window_starts(messages: int, window: int, stride: int) -> Int64[np.ndarray, "windows"]:
    """Position of each window's first message; a tail shorter than a window has none."""
    return np.arange(0, messages - window + 1, stride, dtype=np.int64)


def tail_messages(messages: int, window: int, stride: int) -> int:
    """Messages at a capture's end that no window holds."""
    starts = window_starts(messages, window, stride)
    return messages if len(starts) == 0 else messages - int(starts[-1]) - window


def window_attacks(
    attack: Bool[np.ndarray, "messages"], starts: Int64[np.ndarray, "windows"], window: int
) -> Int64[np.ndarray, "windows"]:
    """Attack messages in each window; a window is an attack where this is not zero."""
    before = np.concatenate(([0], np.cumsum(attack, dtype=np.int64)))
    return before[starts + window] - before[starts]


def window_hashes(
    messages: Messages, starts: Int64[np.ndarray, "windows"], window: int
) -> UInt64[np.ndarray, "windows"]:
    """64-bit hash of each window's ids, lengths and payloads in their order, times left out.

    Equal windows have equal hashes; of n different ones some two collide with n^2 / 2^65.
    """
    identity = messages.arbitration_id.astype(np.uint64) << np.uint64(8) | messages.dlc
    mixed = mix(mix(identity) ^ messages.payload)
    place = mix(np.arange(1, window + 1, dtype=np.uint64)) | np.uint64(1)
    total = np.zeros(len(starts), dtype=np.uint64)
    for offset in range(window):
        # Over the places of a window, not over windows: each step takes every window at once.
        total += mixed[starts + offset] * place[offset]
    return mix(total)


def mix(value: UInt64[np.ndarray, "n"]) -> UInt64[np.ndarray, "n"]:
    """Finaliser of splitmix64 (Steele, Lea and Flood 2014)."""
    value = value + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
