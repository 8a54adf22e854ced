"""What a vehicle's benign traffic looks like, id by id, and how far other messages depart from it.

A profile is made from seconds of traffic without labels or, of training captures, from their benign
messages. It holds no figure that depends on which id is which, only each id's own rate, intervals,
payload bits and length, so that a model that reads departures from it carries over to a car it has
never seen.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, UInt8, UInt32, UInt64

from kdgat.data.windows import Messages
from kdgat.errors import DataError
from kdgat.ledger.files import atomic_path

_EARLY, _LATE = 0.02, 0.98
"""Quantiles of an id's intervals, beyond which an interval is early or late."""
_SHORTEST_S = 1e-4
"""Shorter intervals say nothing but how a logger stamps frames that were queued."""
_FLIPS_BEFORE = 0.5
"""Bit changes, and as many messages without one, that each bit is taken to have had already."""
_CHUNK = 65_536


@dataclass(frozen=True)
class VehicleProfile:
    """Figures of each arbitration id, sorted by id; an id that never came is not in it."""

    ids: UInt32[np.ndarray, "ids"]
    messages: Int64[np.ndarray, "ids"]
    rate_hz: Float64[np.ndarray, "ids"]
    early_s: Float64[np.ndarray, "ids"]
    """Interval that 2 % of the id's intervals stay below."""
    median_s: Float64[np.ndarray, "ids"]
    late_s: Float64[np.ndarray, "ids"]
    """Interval that 98 % of them stay below."""
    dlc: UInt8[np.ndarray, "ids"]
    """Commonest length of its payload, in bytes."""
    always: UInt64[np.ndarray, "ids"]
    """Payload bits that were always set."""
    ever: UInt64[np.ndarray, "ids"]
    """Payload bits that were ever set."""
    flips: Float32[np.ndarray, "ids 64"]
    """How often each bit changed from one message of the id to its next."""
    news: Int64[np.ndarray, "ids"]
    """Messages after the middle one with a bit as no message of the id before had it."""
    duration_s: float

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def stranger_nats(self) -> float:
        """Surprise of a message with an id that is not in it, after Good and Turing: the share of
        such messages to come is about that of the ids seen once."""
        total = int(self.messages.sum())
        return -math.log((int((self.messages == 1).sum()) + 0.5) / (total + 1))

    def rows(
        self, arbitration_id: UInt32[np.ndarray, "n"]
    ) -> tuple[Int64[np.ndarray, "n"], Bool[np.ndarray, "n"]]:
        """The profile's row of each id, and whether it has one."""
        if not len(self):
            return np.zeros(len(arbitration_id), np.int64), np.zeros(len(arbitration_id), bool)
        row = np.minimum(np.searchsorted(self.ids, arbitration_id), len(self) - 1)
        return row, self.ids[row] == arbitration_id

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything in it by name, for `numpy.savez`."""
        return {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> VehicleProfile:
        """The profile whose `arrays` these are."""
        values = {field.name: arrays[field.name] for field in fields(cls)}
        return cls(**{**values, "duration_s": float(values["duration_s"])})


@dataclass(frozen=True)
class Departures:
    """How one capture's messages depart from a profile, message by message."""

    profile: VehicleProfile
    row: Int64[np.ndarray, "messages"]
    known: Bool[np.ndarray, "messages"]
    wrong_bits: Float32[np.ndarray, "messages"]
    """Payload bits that are set and never were, or are not and always were."""
    novelty: Float32[np.ndarray, "messages"]
    """Nats of there being such a bit, by how often the id still showed new ones in the profile."""
    surprise: Float32[np.ndarray, "messages"]
    """Nats of the bit changes since the id's message before, in a profile with these rates."""
    wrong_length: Bool[np.ndarray, "messages"]


def make_profile(messages: Messages, duration_s: float | None = None) -> VehicleProfile:
    """The profile of some messages of one capture, in their order.

    Args:
        messages: unlabelled traffic, or benign messages of a training capture.
        duration_s: how long they took, where gaps were cut out of them.
    """
    order = np.lexsort((np.arange(len(messages)), messages.arbitration_id))
    ids, first, count = np.unique(
        messages.arbitration_id[order], return_index=True, return_counts=True
    )
    time_s, payload = messages.time_s[order], messages.payload[order]
    span = float(np.ptp(messages.time_s)) if len(messages) else 0.0
    duration = max(span if duration_s is None else float(duration_s), _SHORTEST_S)
    early, median, late = _intervals(time_s, first, count, duration)
    none = len(ids) == 0
    return VehicleProfile(
        ids=ids,
        messages=count.astype(np.int64),
        rate_hz=count / duration,
        early_s=early,
        median_s=median,
        late_s=late,
        dlc=_commonest(messages.dlc[order], first, count),
        always=payload[:0] if none else np.bitwise_and.reduceat(payload, first),
        ever=payload[:0] if none else np.bitwise_or.reduceat(payload, first),
        flips=_flip_rates(payload, first, count),
        news=_news(payload, first, count),
        duration_s=duration,
    )


def merge_profiles(profiles: Sequence[VehicleProfile]) -> VehicleProfile:
    """One profile of several captures of a vehicle; intervals are means weighed by messages."""
    if len(profiles) == 1:
        return profiles[0]
    ids = np.unique(np.concatenate([each.ids for each in profiles]))
    total = np.zeros(len(ids), np.int64)
    sums = {name: np.zeros(len(ids)) for name in ("early_s", "median_s", "late_s")}
    dlc, most = np.zeros(len(ids), np.uint8), np.zeros(len(ids), np.int64)
    always, ever = np.full(len(ids), ~np.uint64(0)), np.zeros(len(ids), np.uint64)
    flips, news = np.zeros((len(ids), 64), np.float32), np.zeros(len(ids), np.int64)
    for each in profiles:
        at = np.searchsorted(ids, each.ids)
        total[at] += each.messages
        for name, values in sums.items():
            values[at] += getattr(each, name) * each.messages
        flips[at] += each.flips * each.messages[:, None]
        news[at] += each.news
        commoner = each.messages > most[at]
        dlc[at] = np.where(commoner, each.dlc, dlc[at])
        most[at] = np.maximum(most[at], each.messages)
        always[at] &= each.always
        ever[at] |= each.ever
    duration = sum(each.duration_s for each in profiles)
    return VehicleProfile(
        ids=ids,
        messages=total,
        rate_hz=total / duration,
        early_s=sums["early_s"] / total,
        median_s=sums["median_s"] / total,
        late_s=sums["late_s"] / total,
        dlc=dlc,
        always=always,
        ever=ever,
        flips=flips / total[:, None].astype(np.float32),
        news=news,
        duration_s=duration,
    )


def departures(messages: Messages, profile: VehicleProfile) -> Departures:
    """How every message of a capture departs from a profile; nothing for ids it has not."""
    row, known = profile.rows(messages.arbitration_id)
    if not len(profile):
        nothing = np.zeros(len(messages), np.float32)
        return Departures(profile, row, known, nothing, nothing, nothing, known)
    payload = messages.payload
    wrong = np.bitwise_count((payload & ~profile.ever[row]) | (~payload & profile.always[row]))
    # Of the n messages after the middle one m showed something new, so the next does in
    # (m + 1/2) / (n + 2) of all cases: as if half a message had, and one and a half had not.
    rate = (profile.news + 0.5) / (profile.messages - profile.messages // 2 + 1)
    novelty = np.where((wrong > 0) & known, -np.log(np.minimum(rate, 1))[row], 0)
    length = (messages.dlc != profile.dlc[row]) & known
    return Departures(
        profile=profile,
        row=row,
        known=known,
        wrong_bits=np.where(known, wrong, 0).astype(np.float32),
        novelty=novelty.astype(np.float32),
        surprise=np.where(known, _surprise(messages, profile, row), 0).astype(np.float32),
        wrong_length=length,
    )


def match_vehicle(
    messages: Messages,
    starts: Int64[np.ndarray, "graphs"],
    window: int,
    library: Mapping[str, VehicleProfile],
    least_share: float,
) -> list[str | None]:
    """The vehicle of a library that each window may be of, by the ids in that window alone.

    A window's share of a vehicle is the larger of two: of its messages, and of its different ids,
    that the vehicle has. A flood of one strange id leaves the second high, ids drawn at random the
    first.

    Returns:
        The vehicle with the largest share, or None where that is below `least_share`.
    """
    names = sorted(library)
    if not names or not len(starts):
        return [None] * len(starts)
    shares = np.stack(
        [_shares(messages, starts, window, library[name].ids) for name in names], axis=1
    )
    best = shares.argmax(axis=1)
    enough = shares[np.arange(len(best)), best] >= least_share
    return [names[i] if good else None for i, good in zip(best, enough, strict=True)]


def _shares(
    messages: Messages, starts: Int64[np.ndarray, "graphs"], window: int, ids: np.ndarray
) -> Float64[np.ndarray, "graphs"]:
    share = np.zeros(len(starts))
    for first in range(0, len(starts), _CHUNK // window + 1):
        part = starts[first : first + _CHUNK // window + 1]
        taken = np.sort(messages.arbitration_id[part[:, None] + np.arange(window)], axis=1)
        known = np.isin(taken, ids)
        new = np.ones_like(known)
        new[:, 1:] = taken[:, 1:] != taken[:, :-1]
        of_ids = (known & new).sum(axis=1) / new.sum(axis=1)
        share[first : first + len(part)] = np.maximum(known.mean(axis=1), of_ids)
    return share


def _intervals(
    time_s: Float64[np.ndarray, "messages"],
    first: Int64[np.ndarray, "ids"],
    count: Int64[np.ndarray, "ids"],
    duration_s: float,
) -> tuple[Float64[np.ndarray, "ids"], Float64[np.ndarray, "ids"], Float64[np.ndarray, "ids"]]:
    """Early, median and late interval of each id; one that came once has the whole time."""
    owner = np.repeat(np.arange(len(first)), count)
    gap = np.diff(time_s, prepend=0)
    inner = np.ones(len(time_s), bool)
    inner[first] = False
    owner, gap = owner[inner], np.maximum(gap[inner], _SHORTEST_S)
    gap = gap[np.lexsort((gap, owner))]
    begin, pairs = np.searchsorted(owner, np.arange(len(first))), count - 1
    several = pairs > 0

    def quantile(share: float) -> Float64[np.ndarray, "ids"]:
        place = begin + (np.maximum(pairs - 1, 0) * share).astype(np.int64)
        found = np.full(len(first), duration_s)
        found[several] = gap[place[several]]
        return found

    return quantile(_EARLY), quantile(0.5), quantile(_LATE)


def _news(
    payload: UInt64[np.ndarray, "messages"],
    first: Int64[np.ndarray, "ids"],
    count: Int64[np.ndarray, "ids"],
) -> Int64[np.ndarray, "ids"]:
    """How often something new was still seen of each id after its middle message."""
    found = np.zeros(len(first), np.int64)
    for place, (begin, size) in enumerate(zip(first.tolist(), count.tolist(), strict=True)):
        own = payload[begin : begin + size]
        ever, always = np.bitwise_or.accumulate(own), np.bitwise_and.accumulate(own)
        new = (ever[1:] != ever[:-1]) | (always[1:] != always[:-1])
        found[place] = int(new[size // 2 :].sum())
    return found


def _commonest(
    dlc: UInt8[np.ndarray, "messages"],
    first: Int64[np.ndarray, "ids"],
    count: Int64[np.ndarray, "ids"],
) -> UInt8[np.ndarray, "ids"]:
    owner = np.repeat(np.arange(len(first)), count)
    seen = np.zeros((len(first), 256), np.int64)
    np.add.at(seen, (owner, dlc), 1)
    return seen.argmax(axis=1).astype(np.uint8)


def _flip_rates(
    payload: UInt64[np.ndarray, "messages"],
    first: Int64[np.ndarray, "ids"],
    count: Int64[np.ndarray, "ids"],
) -> Float32[np.ndarray, "ids 64"]:
    """Share of an id's messages in which each bit changed, drawn a little to the middle."""
    flips = payload ^ np.roll(payload, 1)
    flips[first] = 0
    total = np.zeros((len(first), 64), np.float32)
    owner = np.repeat(np.arange(len(first)), count)
    for begin in range(0, len(payload), _CHUNK):
        part = slice(begin, begin + _CHUNK)
        starts = np.flatnonzero(np.diff(owner[part], prepend=-1))
        total[owner[part][starts]] += np.add.reduceat(
            _bits(flips[part]).astype(np.float32), starts, axis=0
        )
    pairs = np.maximum(count - 1, 0)[:, None]
    return ((total + _FLIPS_BEFORE) / (pairs + 2 * _FLIPS_BEFORE)).astype(np.float32)


def _surprise(
    messages: Messages, profile: VehicleProfile, row: Int64[np.ndarray, "messages"]
) -> Float32[np.ndarray, "messages"]:
    """Negative log rate of each bit that changed since the id's message before, summed."""
    order = np.lexsort((np.arange(len(messages)), messages.arbitration_id))
    payload, ids = messages.payload[order], messages.arbitration_id[order]
    flips = payload ^ np.roll(payload, 1)
    flips[np.flatnonzero(np.diff(ids.astype(np.int64), prepend=-1))] = 0
    cost, sorted_rows = -np.log(profile.flips), row[order]
    found = np.zeros(len(messages), np.float32)
    changed = np.flatnonzero(flips)
    for begin in range(0, len(changed), _CHUNK):
        some = changed[begin : begin + _CHUNK]
        found[some] = np.einsum("ij,ij->i", _bits(flips[some]), cost[sorted_rows[some]])
    unsorted = np.empty_like(found)
    unsorted[order] = found
    return unsorted


def _bits(payload: UInt64[np.ndarray, "n"]) -> UInt8[np.ndarray, "n 64"]:
    return np.unpackbits(payload.astype(">u8").view(np.uint8).reshape(-1, 8), axis=1)


def save_library(path: Path, library: Mapping[str, VehicleProfile]) -> None:
    """Write several vehicles' profiles into one file, whole or not at all."""
    flat: dict[str, Any] = {
        f"{number}/{name}": array
        for number, vehicle in enumerate(library)
        for name, array in library[vehicle].arrays().items()
    }
    with atomic_path(path) as aside, aside.open("wb") as file:
        np.savez(file, vehicles=np.array(list(library), dtype=np.str_), **flat)


def load_library(path: Path) -> dict[str, VehicleProfile]:
    """What `save_library` wrote.

    Raises:
        DataError: the file is missing or damaged.
    """
    try:
        return _library(path)
    except (
        OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile,
    ) as error:  # fmt: skip
        raise DataError(
            f"'{path}' can't be read: {error}",
            hint=f"delete '{path.parent}'; the same command makes it again",
        ) from error


def _library(path: Path) -> dict[str, VehicleProfile]:
    # Opened here: numpy leaves a file open that it finds damaged.
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        names: Iterable[str] = arrays["vehicles"].tolist()
        return {
            name: VehicleProfile.from_arrays(
                {field.name: arrays[f"{number}/{field.name}"] for field in fields(VehicleProfile)}
            )
            for number, name in enumerate(names)
        }
