"""What each window of a training capture is measured against, by lot.

None (a vehicle never seen), that of its vehicle's other captures (a vehicle seen in training), or
one made from seconds of its own capture that don't hold the window (`adapted`). Profiles of
training captures are made from benign messages, because training labels are known.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int64

from kdgat.configs.data import DataConfig
from kdgat.data.measured import BORROWED, OWN, UNPROFILED, Share
from kdgat.data.profiles import VehicleProfile, make_profile, merge_profiles
from kdgat.stages.parts import Loaded, Windows

_OWN_PROFILES = 4
"""Stretches of a training capture, evenly spread, that its windows are measured against."""


def others(windows: Sequence[Windows], number: int) -> VehicleProfile | None:
    """The profile of the same vehicle from its other training captures."""
    vehicle = windows[number].record.vehicle
    benign = [
        each.benign
        for place, each in enumerate(windows)
        if place != number and each.record.vehicle == vehicle
    ]
    return merge_profiles(benign) if benign else None


def vehicle_library(windows: Sequence[Windows]) -> dict[str, VehicleProfile]:
    """The profile of each vehicle from all its training captures."""
    vehicles = sorted({each.record.vehicle for each in windows})
    return {
        vehicle: merge_profiles([w.benign for w in windows if w.record.vehicle == vehicle])
        for vehicle in vehicles
    }


def shares_of(
    capture: Loaded,
    starts: Int64[np.ndarray, "windows"],
    others: VehicleProfile | None,
    config: DataConfig,
) -> list[Share]:
    """What each window is measured against, by lot; the same for the same capture and config."""
    everything = np.arange(len(starts))
    if "profile" not in config.features:
        return [Share(everything, None, UNPROFILED)]
    draw = np.random.default_rng(zlib.crc32(capture.record.key.encode()))
    lot, pick = draw.random((2, len(starts)))
    own = _own_profiles(capture, starts, config)
    choices = np.stack([free for _, free in own], axis=1) if own else np.zeros((len(starts), 0))
    count = choices.sum(axis=1).astype(np.int64)
    # The lot falls on one of the window's own free profiles: the n-th one of them.
    place = (
        np.cumsum(choices, axis=1)
        == (np.minimum((pick * count).astype(int), count - 1) + 1)[:, None]
    )
    chosen = np.where(count > 0, (place & (choices > 0)).argmax(axis=1), -1) if own else count - 1
    none, borrowed = config.unprofiled_share, config.borrowed_share
    to_own = (lot >= none + borrowed) & (chosen >= 0)
    to_borrow = (lot >= none) & ~to_own & (others is not None)
    shares = [
        Share(everything[~to_own & ~to_borrow], None, UNPROFILED),
        Share(everything[to_borrow], others, BORROWED),
    ]
    return shares + [
        Share(everything[to_own & (chosen == number)], profile, OWN)
        for number, (profile, _) in enumerate(own)
    ]


def _own_profiles(
    capture: Loaded, starts: Int64[np.ndarray, "windows"], config: DataConfig
) -> list[tuple[VehicleProfile, Bool[np.ndarray, "windows"]]]:
    """Profiles of some seconds of a capture, each with the windows that lie outside of them."""
    time_s = capture.messages.time_s
    found = []
    room = capture.record.duration_s - config.prefix_s
    for first_s in float(time_s[0]) + np.linspace(0, max(room, 0), _OWN_PROFILES):
        last_s = first_s + config.prefix_s
        inside = (time_s >= first_s) & (time_s < last_s)
        benign = inside & ~capture.attack
        if benign.sum() >= config.window_messages:
            profile = make_profile(capture.messages.at(benign), config.prefix_s)
            before = np.concatenate(([0], np.cumsum(inside)))
            outside = before[starts + config.window_messages] == before[starts]
            found.append((profile, outside))
    return found
