"""Node and edge features that say how an id behaves in a window, and never which id it is.

Every reduction runs over messages sorted by node, so it is one `reduceat` a feature.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Float64, Int64, Shaped, UInt8, UInt32, UInt64

from kdgat.configs.data import FeatureGroup, IdEncoding
from kdgat.data.profiles import Departures
from kdgat.data.windows import mix

FEATURE_NAMES: dict[FeatureGroup, tuple[str, ...]] = {
    "bytes": (
        *(f"byte{i}_mean" for i in range(8)),
        *(f"byte{i}_std" for i in range(8)),
        "dlc",
    ),
    "entropy": ("byte_entropy_bits", "bits_set", "bits_changed", "payload_repeated"),
    "rate": ("messages_log", "share_of_window", "rate_hz_log"),
    "timing": ("interval_ms_log", "interval_std_ms_log", "interval_min_ms_log"),
    "shape": (
        "shape_count_to_median_log",
        "shape_interval_variation_log",
        "shape_interval_min_to_mean_log",
        "shape_back_to_back",
        "shape_span",
        "shape_flips_max",
        "shape_flips_spread",
    ),
    "profile": (
        "profile_there",
        "profile_known",
        "profile_count",
        "profile_interval",
        "profile_interval_min",
        "profile_wrong_bits_log",
        "profile_wrong_bits_max_log",
        "profile_wrong_bits_share",
        "profile_novelty",
        "profile_novelty_max",
        "profile_surprise_log",
        "profile_surprise_max_log",
        "profile_wrong_length",
        "profile_stranger",
    ),
}
"""Node features of each group, in their order.

Bytes are in units of 255, fractions from 0 to 1, `_log` is log(1 + value); of ratios (`_to_`) it is
the logarithm. `profile_interval`s are the logarithm of the ratio to the id's usual interval, in
units of how much its intervals vary. `shape` compares the ids of one window with each other and
with themselves, `profile` with benign traffic of the same vehicle: its columns are 0 where a window
has no profile, and all but three where the profile has not the id.
"""

EDGE_FEATURE_NAMES: tuple[str, ...] = ("transitions_log", "interval_ms_log", "interval_min_ms_log")
"""Edge features, in their order."""

PROFILE_THERE, PROFILE_KNOWN = (
    FEATURE_NAMES["profile"].index(each) for each in ("profile_there", "profile_known")
)
"""Columns within the group."""
_LEAST_VARIATION = 0.1
"""Variation of an interval's logarithm that every bus has."""
_INTERVALS_TO_TRUST = 10
"""Intervals of an id in a profile that make what they say worth half."""
_LEAST_RATIO_LOG = -8.0
"""An interval of nothing would have the logarithm of zero."""
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


def shape_features(
    nodes: Segments,
    node_ptr: Int64[np.ndarray, "pointers"],
    time_s: Float64[np.ndarray, "messages"],
    duration_s: Float64[np.ndarray, "nodes"],
    place: Int64[np.ndarray, "messages"],
    payload: UInt64[np.ndarray, "messages"],
    dlc: UInt8[np.ndarray, "messages"],
) -> list[Float32[np.ndarray, "nodes"]]:
    """How an id behaves beside the others of its window, and beside itself.

    `place` is a message's place in its window, `node_ptr` the nodes of each window.
    """
    pairs = np.maximum(nodes.sizes - 1, 1)
    inner = np.ones(len(time_s), bool)
    inner[nodes.firsts] = False
    gap = np.where(inner, np.maximum(np.diff(time_s, prepend=0), 0), 0.0)
    mean = nodes.total(gap) / pairs
    deviation = np.sqrt(np.maximum(nodes.total(gap * gap) / pairs - mean * mean, 0))
    least = nodes.least(np.where(inner, gap, np.inf))
    several = (nodes.sizes > 2) & (mean > 0)
    scale = np.where(several, mean, 1)
    ratio = np.where(several, np.where(np.isfinite(least), least, 1), 1) / scale
    ratio = np.log(np.maximum(np.where(several, ratio, 1), np.exp(_LEAST_RATIO_LOG)))
    span = nodes.total(gap) / np.maximum(duration_s, 1e-4)
    next_to = np.where(inner, np.diff(place, prepend=-2) == 1, False).astype(np.float32)
    bits = np.maximum(dlc, 1).astype(np.float32) * 8
    flips = np.zeros(len(payload), np.float32)
    flips[1:] = np.bitwise_count(payload[1:] ^ payload[:-1]) / bits[1:]
    flips[nodes.firsts] = 0
    most = np.maximum.reduceat(flips, nodes.firsts)
    columns = (
        np.log(nodes.sizes / _median_size(nodes.sizes, node_ptr)),
        np.log1p(np.where(several, deviation / scale, 0)),
        ratio,
        nodes.total(next_to) / pairs,
        np.minimum(span, 1),
        most,
        most - nodes.total(flips) / pairs,
    )
    return [column.astype(np.float32) for column in columns]


def _median_size(
    sizes: Int64[np.ndarray, "nodes"], node_ptr: Int64[np.ndarray, "pointers"]
) -> Float64[np.ndarray, "nodes"]:
    """Median messages of the ids of each node's window."""
    count = np.diff(node_ptr)
    owner = np.repeat(np.arange(len(count)), count)
    ordered = sizes[np.lexsort((sizes, owner))]
    low, high = node_ptr[:-1] + (count - 1) // 2, node_ptr[:-1] + count // 2
    return np.repeat((ordered[low] + ordered[high]) / 2, count)


def profile_features(
    nodes: Segments,
    rows: Int64[np.ndarray, "messages"],
    time_s: Float64[np.ndarray, "messages"],
    duration_s: Float64[np.ndarray, "nodes"],
    against: Departures | None,
) -> list[Float32[np.ndarray, "nodes"]]:
    """How an id departs from its vehicle's profile; `rows` are the messages' places in `against`.

    Counts are measured in standard deviations of a Poisson count, intervals by the logarithm of
    their ratio to the profile's, in quarters of the distance between its early and late ones.
    """
    names = FEATURE_NAMES["profile"]
    if against is None:
        return [np.zeros(len(nodes.sizes), np.float32)] * len(names)
    profile, first = against.profile, rows[nodes.firsts]
    known, row = against.known[first], against.row[first]
    if not len(profile):
        rate = early = median = late = support = np.ones(len(first))
    else:
        rate, early, median, late, support = (
            each[row]
            for each in (
                profile.rate_hz,
                profile.early_s,
                profile.median_s,
                profile.late_s,
                profile.messages,
            )
        )
    expected = np.where(known, rate * duration_s, 0)
    inner = np.ones(len(rows), bool)
    inner[nodes.firsts] = False
    gap = np.where(inner, np.maximum(np.diff(time_s, prepend=0), 0), 0.0)
    several, pairs = nodes.sizes > 1, np.maximum(nodes.sizes - 1, 1)
    mean = np.where(several, nodes.total(gap) / pairs, median)
    least = np.where(several, nodes.least(np.where(inner, gap, np.inf)), early)
    scale = _LEAST_VARIATION + np.log(np.maximum(late / early, 1)) / 4
    # A profile that saw few intervals of an id knows little of how they vary.
    trust = (support - 1) / (support - 1 + _INTERVALS_TO_TRUST)
    wrong, surprise = against.wrong_bits[rows], np.where(inner, against.surprise[rows], 0)
    columns = (
        np.ones(len(first)),
        known,
        (nodes.sizes - expected) / np.sqrt(expected + 1),
        np.where(known, _log_ratio(mean, median), 0) / scale * trust,
        np.where(known, _log_ratio(least, early), 0) / scale * trust,
        np.log1p(nodes.total(wrong) / nodes.sizes),
        np.log1p(np.maximum.reduceat(wrong, nodes.firsts)),
        nodes.total((wrong > 0).astype(np.float32)) / nodes.sizes,
        nodes.total(against.novelty[rows]) / nodes.sizes,
        np.maximum.reduceat(against.novelty[rows], nodes.firsts),
        np.log1p(nodes.total(surprise) / pairs),
        np.log1p(np.maximum.reduceat(surprise, nodes.firsts)),
        nodes.total(against.wrong_length[rows].astype(np.float32)) / nodes.sizes,
        np.where(known, 0, profile.stranger_nats),
    )
    return [column.astype(np.float32) for column in columns]


def _log_ratio(
    value: Float64[np.ndarray, "nodes"], usual: Float64[np.ndarray, "nodes"]
) -> Float64[np.ndarray, "nodes"]:
    return np.log(np.maximum(value / usual, np.exp(_LEAST_RATIO_LOG)))


def id_features(
    arbitration_id: UInt32[np.ndarray, "nodes"],
    encoding: IdEncoding,
    hash_bits: int,
    vocabulary: UInt32[np.ndarray, "ids"],
) -> list[Float32[np.ndarray, "nodes"]]:
    """The id itself: nothing, bits of its hash (-1 or 1), or its place among the known ids.

    With `lookup_unk` the last column is 1 for every id that is not in the vocabulary.
    """
    if encoding == "none":
        return []
    if encoding == "hash":
        mixed = mix(arbitration_id.astype(np.uint64))
        bits = (mixed >> np.arange(hash_bits, dtype=np.uint64)[:, None]) & np.uint64(1)
        return list(bits.astype(np.float32) * 2 - 1)
    place = np.searchsorted(vocabulary, arbitration_id)
    found = np.append(vocabulary, np.uint32(0xFFFF_FFFF))[place] == arbitration_id
    place = np.where(found, place, len(vocabulary))
    one_hot = np.zeros((len(vocabulary) + 1, len(arbitration_id)), np.float32)
    one_hot[place, np.arange(len(place))] = 1
    return list(one_hot)


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
