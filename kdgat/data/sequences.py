"""Windows as sequences: what each message says by itself, in the order of the bus.

For models that read a window message by message. Nothing here looks outside of a window, and no id
is a number: a message says the rank of its id among those of its window, and which node of the
window's graph its id is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float16, Float32, Int16, Int64

from kdgat.data.features import payload_bytes
from kdgat.data.windows import Messages

MESSAGE_FEATURE_NAMES: tuple[str, ...] = (
    "gap_ms_log",
    "interval_ms_log",
    "first_of_id",
    "id_rank",
    "dlc",
    "bits_changed",
    *(f"byte{i}" for i in range(8)),
)
"""Message features, in their order. `gap` is the time since the message before, `interval` the time
since the id's message before; `bits_changed` is against the latter. All three are 0 where the
window has no such message."""
MESSAGE_BYTES = 2 * len(MESSAGE_FEATURE_NAMES), 2
"""Bytes of a message's features and of its node's place, as they lie in a store."""
CHUNK_WINDOWS = 2_000
"""Windows taken at once."""
_SMALLEST_STD = 1e-3


@dataclass(frozen=True)
class WindowMessages:
    """The messages of some windows of one capture, with unscaled features."""

    values: Float32[np.ndarray, "windows messages features"]
    node: Int16[np.ndarray, "windows messages"]
    """Which node of its window's graph each message's id is."""


def window_messages(
    messages: Messages, starts: Int64[np.ndarray, "windows"], window: int
) -> WindowMessages:
    """The messages of the windows of one capture that begin at `starts`.

    Args:
        messages: the capture.
        starts: the first message of each window.
        window: messages in one window.
    """
    taken = starts[:, None] + np.arange(window)
    ids, payload = messages.arbitration_id[taken], messages.payload[taken]
    time_ms, length = 1000 * messages.time_s[taken], messages.dlc[taken].astype(np.float32)
    order = np.argsort(ids, axis=1, kind="stable")
    by_id = np.take_along_axis(ids, order, axis=1)
    fresh = np.ones(ids.shape, dtype=bool)
    fresh[:, 1:] = by_id[:, 1:] != by_id[:, :-1]
    # Nodes are in the order of their ids, too.
    place = np.cumsum(fresh, axis=1) - 1
    before = np.roll(order, 1, axis=1)
    node, first, earlier = np.empty_like(place), np.empty_like(fresh), np.empty_like(order)
    for target, values in ((node, place), (first, fresh), (earlier, before)):
        np.put_along_axis(target, order, values, axis=1)
    gap = np.diff(time_ms, axis=1, prepend=time_ms[:, :1])
    interval = np.where(first, 0, time_ms - np.take_along_axis(time_ms, earlier, axis=1))
    flips = np.bitwise_count(payload ^ np.take_along_axis(payload, earlier, axis=1))
    columns = (
        np.log1p(np.maximum(gap, 0)),
        np.log1p(np.maximum(interval, 0)),
        first,
        node / np.maximum(place[:, -1:], 1),
        length / 8,
        np.where(first, 0, flips / (8 * np.maximum(length, 1))),
        *(byte.reshape(ids.shape) / 255 for byte in payload_bytes(payload.ravel())),
    )
    stacked = np.stack([column.astype(np.float32) for column in columns], axis=2)
    return WindowMessages(stacked, node.astype(np.int16))


@dataclass(frozen=True)
class MessageScaler:
    """Mean and standard deviation of each message feature in benign training windows."""

    mean: Sequence[float]
    std: Sequence[float]
    clip: float
    """Largest scaled value."""

    @classmethod
    def fit(cls, parts: Iterable[WindowMessages], clip: float) -> MessageScaler:
        """From the messages of benign training windows, part by part."""
        count, total, square = 0, 0.0, 0.0
        for part in parts:
            rows = part.values.reshape(-1, len(MESSAGE_FEATURE_NAMES)).astype(np.float64)
            count += len(rows)
            total, square = total + rows.sum(axis=0), square + np.square(rows).sum(axis=0)
        mean = np.asarray(total) / max(count, 1)
        spread = np.sqrt(np.maximum(np.asarray(square) / max(count, 1) - mean * mean, 0))
        return cls(mean.tolist(), np.maximum(spread, _SMALLEST_STD).tolist(), clip)

    def scaled(self, part: WindowMessages) -> Float16[np.ndarray, "windows messages features"]:
        """Scaled and clipped, as they lie in a store."""
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        values = (part.values - mean) / std
        return np.clip(values, -self.clip, self.clip).astype(np.float16)


def chunks(
    messages: Messages, starts: Int64[np.ndarray, "windows"], window: int
) -> Iterable[WindowMessages]:
    """`window_messages` in pieces that don't grow with the capture."""
    for first in range(0, len(starts), CHUNK_WINDOWS):
        yield window_messages(messages, starts[first : first + CHUNK_WINDOWS], window)
