"""Graphs by a plain loop over windows, nodes and messages, for the fast ones to be held against."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from kdgat.configs.data import FeatureGroup
from kdgat.data.features import FEATURE_NAMES, feature_names
from kdgat.data.profiles import VehicleProfile
from kdgat.data.windows import Messages

EVERYTHING: tuple[FeatureGroup, ...] = tuple(FEATURE_NAMES)


@dataclass(frozen=True)
class Message:
    time_s: float
    id: int
    data: bytes


@dataclass(frozen=True)
class Graph:
    """One graph of several, its rows as plain lists."""

    x: list[list[float]]
    edges: list[tuple[int, int]]
    edge_attr: list[list[float]]
    start_s: float
    end_s: float


def taken(messages: list[Message]) -> Messages:
    return Messages(
        time_s=np.array([m.time_s for m in messages], float),
        arbitration_id=np.array([m.id for m in messages], np.uint32),
        dlc=np.array([len(m.data) for m in messages], np.uint8),
        payload=np.array([payload(m) for m in messages], np.uint64),
    )


def payload(message: Message) -> int:
    return int.from_bytes(message.data.ljust(8, b"\0"), "big")


def reference(messages: list[Message], profile: VehicleProfile | None) -> Graph:
    """The graph of one window with all features, one message and one node after the other."""
    ids = sorted({m.id for m in messages})
    duration_s = max(messages[-1].time_s - messages[0].time_s, 0.0)
    median = statistics.median(Counter(m.id for m in messages).values())
    x = []
    for id in ids:
        places = [place for place, m in enumerate(messages) if m.id == id]
        own = [messages[place] for place in places]
        values = {
            **absolute(own, len(messages), duration_s),
            **shape(own, places, median, duration_s),
            **departure(own, duration_s, profile),
        }
        x.append([values[name] for name in feature_names(EVERYTHING)])
    gaps: dict[tuple[int, int], list[float]] = {}
    for before, after in pairwise(messages):
        edge = (ids.index(after.id), ids.index(before.id))
        gaps.setdefault(edge, []).append(gap_ms(before, after))
    ordered = sorted(gaps.items())
    return Graph(
        x=x,
        edges=[(source, destination) for (destination, source), _ in ordered],
        edge_attr=[
            [math.log1p(len(g)), math.log1p(statistics.fmean(g)), math.log1p(min(g))]
            for _, g in ordered
        ],
        start_s=messages[0].time_s,
        end_s=messages[-1].time_s,
    )


def absolute(own: list[Message], window: int, duration_s: float) -> dict[str, float]:
    """The groups that are as they come: bytes, entropy, rate and timing."""
    padded = [m.data.ljust(8, b"\0") for m in own]
    pairs = list(pairwise(own))
    gaps = [gap_ms(a, b) for a, b in pairs] or [duration_s * 1000]
    return {
        **{f"byte{i}_mean": statistics.fmean(p[i] for p in padded) / 255 for i in range(8)},
        **{f"byte{i}_std": statistics.pstdev(p[i] for p in padded) / 255 for i in range(8)},
        "dlc": statistics.fmean(len(m.data) for m in own) / 8,
        "byte_entropy_bits": statistics.fmean(entropy(m.data) for m in own),
        "bits_set": statistics.fmean(payload(m).bit_count() / bits(m) for m in own),
        "bits_changed": statistics.fmean(flips(own)),
        "payload_repeated": statistics.fmean([payload(a) == payload(b) for a, b in pairs] or [0]),
        "messages_log": math.log1p(len(own)),
        "share_of_window": len(own) / window,
        "rate_hz_log": math.log1p(len(own) / max(duration_s, 1e-4)),
        "interval_ms_log": math.log1p(statistics.fmean(gaps)),
        "interval_std_ms_log": math.log1p(statistics.pstdev(gaps)),
        "interval_min_ms_log": math.log1p(min(gaps)),
    }


def shape(
    own: list[Message], places: list[int], median: float, duration_s: float
) -> dict[str, float]:
    """An id beside the other ids of its window and beside itself."""
    gaps = [gap_ms(a, b) / 1000 for a, b in pairwise(own)]
    mean = statistics.fmean(gaps or [0.0])
    several = len(own) > 2 and mean > 0
    adjacent = [b - a == 1 for a, b in pairwise(places)]
    return {
        "shape_count_to_median_log": math.log(len(own) / median),
        "shape_interval_variation_log": math.log1p(statistics.pstdev(gaps) / mean)
        if several
        else 0,
        "shape_interval_min_to_mean_log": log_ratio(min(gaps), mean) if several else 0,
        "shape_back_to_back": statistics.fmean(adjacent or [0]),
        "shape_span": min(sum(gaps) / max(duration_s, 1e-4), 1),
        "shape_flips_max": max(flips(own)),
        "shape_flips_spread": max(flips(own)) - statistics.fmean(flips(own)),
    }


def departure(
    own: list[Message], duration_s: float, profile: VehicleProfile | None
) -> dict[str, float]:
    """An id against the same id in a profile."""
    values = dict.fromkeys(FEATURE_NAMES["profile"], 0.0)
    if profile is None:
        return values
    values["profile_there"] = 1
    ids = profile.ids.tolist()
    if own[0].id not in ids:
        return {**values, "profile_count": len(own), "profile_stranger": profile.stranger_nats}
    row = ids.index(own[0].id)
    early, usual, late = profile.early_s[row], profile.median_s[row], profile.late_s[row]
    gaps = [gap_ms(a, b) / 1000 for a, b in pairwise(own)]
    intervals = profile.messages[row] - 1
    trust = intervals / (intervals + 10) / (0.1 + math.log(max(late / early, 1)) / 4)
    expected = profile.rate_hz[row] * duration_s
    wrong = [wrong_bits(m, int(profile.ever[row]), int(profile.always[row])) for m in own]
    later = profile.messages[row] - profile.messages[row] // 2
    novelty = -math.log(min((profile.news[row] + 0.5) / (later + 1), 1))
    nats = [surprise(a, b, profile.flips[row].tolist()) for a, b in pairwise(own)] or [0.0]
    return {
        **values,
        "profile_known": 1,
        "profile_count": (len(own) - expected) / math.sqrt(expected + 1),
        "profile_interval": log_ratio(statistics.fmean(gaps), usual) * trust if gaps else 0,
        "profile_interval_min": log_ratio(min(gaps), early) * trust if gaps else 0,
        "profile_wrong_bits_log": math.log1p(statistics.fmean(wrong)),
        "profile_wrong_bits_max_log": math.log1p(max(wrong)),
        "profile_wrong_bits_share": statistics.fmean(count > 0 for count in wrong),
        "profile_novelty": novelty * statistics.fmean(count > 0 for count in wrong),
        "profile_novelty_max": novelty if any(wrong) else 0,
        "profile_surprise_log": math.log1p(statistics.fmean(nats)),
        "profile_surprise_max_log": math.log1p(max(nats)),
        "profile_wrong_length": statistics.fmean(len(m.data) != profile.dlc[row] for m in own),
    }


def wrong_bits(message: Message, ever: int, always: int) -> int:
    """Bits that never were set and are, or always were and are not."""
    return (payload(message) & ~ever).bit_count() + (~payload(message) & always).bit_count()


def surprise(before: Message, after: Message, rates: list[float]) -> float:
    """Nats of the bits that changed; the first rate is that of the first byte's highest bit."""
    changed = f"{payload(before) ^ payload(after):064b}"
    return sum(-math.log(rate) for bit, rate in zip(changed, rates, strict=True) if bit == "1")


def log_ratio(value: float, usual: float) -> float:
    return max(math.log(value / usual), -8.0) if value > 0 else -8.0


def flips(own: list[Message]) -> list[float]:
    """Share of the bits that changed since the id's message before, of each message but the first.

    A zero stands for none where there is one message alone.
    """
    pairs = pairwise(own)
    return [(payload(a) ^ payload(b)).bit_count() / bits(b) for a, b in pairs] or [0.0]


def gap_ms(before: Message, after: Message) -> float:
    return max(after.time_s - before.time_s, 0.0) * 1000


def bits(message: Message) -> int:
    return 8 * max(len(message.data), 1)


def entropy(data: bytes) -> float:
    return -sum(n / len(data) * math.log2(n / len(data)) for n in Counter(data).values())
