"""Node and edge features that say how an id behaves in a window, and never which id it is.

Every reduction runs over messages sorted by node, so it is one `reduceat` a feature.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Float64, Int64, Shaped, UInt8, UInt64

from kdgat.configs.data import FeatureGroup

FEATURE_NAMES: dict[FeatureGroup, tuple[str, ...]] = {
    "bytes": (
        *(f"byte{i}_mean" for i in range(8)),
        *(f"byte{i}_std" for i in range(8)),
        "dlc",
    ),
    "entropy": ("byte_entropy_bits", "bits_set", "bits_changed", "payload_repeated"),
    "rate": ("messages_log", "share_of_window", "rate_hz_log"),
    "timing": ("interval_ms_log", "interval_std_ms_log", "interval_min_ms_log"),
}
"""Node features of each group, in their order.

Bytes are in units of 255, fractions from 0 to 1, `_log` is log(1 + value).
"""

EDGE_FEATURE_NAMES: tuple[str, ...] = ("transitions_log", "interval_ms_log", "interval_min_ms_log")
"""Edge features, in their order."""

_LOW_32 = np.uint64(0xFFFF_FFFF)
_BYTE_AND_SQUARE = np.arange(256, dtype=np.uint64) ** 2 << np.uint64(32) | np.arange(
    256, dtype=np.uint64
)
"""Each byte value in the low half of an integer, its square in the high half."""


def feature_names(groups: Sequence[FeatureGroup]) -> tuple[str, ...]:
    """Names of the node features of some groups, in the order of `x`'s columns."""
    return tuple(name for group in groups for name in FEATURE_NAMES[group])


class Segments:
    """Consecutive rows that belong together, and sums over them."""

    def __init__(self, firsts: Int64[np.ndarray, "segments"], rows: int) -> None:
        self.firsts = firsts
        self.sizes = np.diff(firsts, append=rows)

    def total(self, values: Shaped[np.ndarray, "rows"]) -> Shaped[np.ndarray, "segments"]:
        """Sum of each segment."""
        return np.add.reduceat(values, self.firsts)

    def least(self, values: Shaped[np.ndarray, "rows"]) -> Shaped[np.ndarray, "segments"]:
        """Smallest value of each segment."""
        return np.minimum.reduceat(values, self.firsts)


def byte_features(
    nodes: Segments, payload: UInt64[np.ndarray, "messages"], dlc: UInt8[np.ndarray, "messages"]
) -> list[Float32[np.ndarray, "nodes"]]:
    """Mean and standard deviation of each byte, and the mean length; missing bytes are zero.

    A byte's sum and its sum of squares share one integer, so they are exact and take one pass:
    10,000 squares of 255 stay below 2^32.
    """
    means, deviations = [], []
    for column in payload_bytes(payload):
        both = nodes.total(_BYTE_AND_SQUARE[column])
        mean = (both & _LOW_32) / nodes.sizes
        square = (both >> np.uint64(32)) / nodes.sizes
        means.append((mean / 255).astype(np.float32))
        deviations.append((np.sqrt(np.maximum(square - mean * mean, 0)) / 255).astype(np.float32))
    length = nodes.total(dlc.astype(np.float32)) / nodes.sizes / 8
    return [*means, *deviations, length.astype(np.float32)]


def entropy_features(
    nodes: Segments, payload: UInt64[np.ndarray, "messages"], dlc: UInt8[np.ndarray, "messages"]
) -> list[Float32[np.ndarray, "nodes"]]:
    """How random the payload looks, and how it changes from one message of the id to the next."""
    bits = np.maximum(dlc, 1).astype(np.float32) * 8
    entropy = nodes.total(byte_entropy_bits(payload, dlc)) / nodes.sizes
    ones = nodes.total(np.bitwise_count(payload).astype(np.float32) / bits) / nodes.sizes
    flips = np.zeros(len(payload), dtype=np.float32)
    flips[1:] = np.bitwise_count(payload[1:] ^ payload[:-1]) / bits[1:]
    same = np.zeros(len(payload), dtype=np.float32)
    same[1:] = payload[1:] == payload[:-1]
    flips[nodes.firsts] = same[nodes.firsts] = 0
    pairs = np.maximum(nodes.sizes - 1, 1)
    columns = (entropy, ones, nodes.total(flips) / pairs, nodes.total(same) / pairs)
    return [column.astype(np.float32) for column in columns]


def rate_features(
    nodes: Segments, window: int, duration_s: Float64[np.ndarray, "nodes"]
) -> list[Float32[np.ndarray, "nodes"]]:
    """How often the id appears in the window; `duration_s` is the window's, for each node."""
    share = nodes.sizes / window
    rate_hz = nodes.sizes / np.maximum(duration_s, 1e-4)
    columns = (np.log1p(nodes.sizes), share, np.log1p(rate_hz))
    return [column.astype(np.float32) for column in columns]


def timing_features(
    nodes: Segments,
    time_s: Float64[np.ndarray, "messages"],
    duration_s: Float64[np.ndarray, "nodes"],
) -> list[Float32[np.ndarray, "nodes"]]:
    """Intervals between an id's messages; an id seen once has the window's length for interval."""
    # Double precision: the variance is a small difference of large squares on a periodic bus.
    interval_ms = np.zeros(len(time_s))
    interval_ms[1:] = np.maximum(np.diff(time_s), 0) * 1000
    interval_ms[nodes.firsts] = 0
    pairs = np.maximum(nodes.sizes - 1, 1)
    mean = nodes.total(interval_ms) / pairs
    square = nodes.total(interval_ms * interval_ms) / pairs
    interval_ms[nodes.firsts] = np.inf
    least = nodes.least(interval_ms)
    once = nodes.sizes == 1
    mean = np.where(once, duration_s * 1000, mean)
    least = np.where(once, duration_s * 1000, least)
    deviation = np.where(once, 0, np.sqrt(np.maximum(square - mean * mean, 0)))
    return [np.log1p(column).astype(np.float32) for column in (mean, deviation, least)]


def edge_features(
    edges: Segments, interval_ms: Float32[np.ndarray, "transitions"]
) -> Float32[np.ndarray, "edges 3"]:
    """Transitions from one id to another: how many, and the time between the two messages."""
    mean = edges.total(interval_ms) / edges.sizes
    columns = (np.log1p(edges.sizes), np.log1p(mean), np.log1p(edges.least(interval_ms)))
    return np.stack(columns, axis=1).astype(np.float32)


def payload_bytes(payload: UInt64[np.ndarray, "messages"]) -> UInt8[np.ndarray, "8 messages"]:
    """The eight bytes of each payload, the first byte first; one contiguous row a byte."""
    return np.ascontiguousarray(payload.astype(">u8").view(np.uint8).reshape(-1, 8).T)


def byte_entropy_bits(
    payload: UInt64[np.ndarray, "messages"], dlc: UInt8[np.ndarray, "messages"]
) -> Float32[np.ndarray, "messages"]:
    """Shannon entropy of the byte values within each message, in bits (0 to 3).

    A byte that occurs c times among d adds -log2(c / d) / d, so counting each byte's equals among
    the message's d bytes gives the entropy without a histogram. The logarithms' sum is that of the
    counts' product, at most 8^8; a byte beyond the d counts once and changes nothing.
    """
    columns = payload_bytes(payload)
    equals = np.ones((8, len(payload)), dtype=np.uint8)
    for j in range(1, 8):
        present = dlc > j
        for i in range(j):
            same = (columns[i] == columns[j]) & present
            equals[i] += same
            equals[j] += same
    product = np.multiply.reduce(equals, axis=0, dtype=np.float32)
    size = np.maximum(dlc, 1).astype(np.float32)
    return np.maximum(np.log2(size) - np.log2(product) / size, 0)
