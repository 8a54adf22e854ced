"""Windows of a capture as graphs, each measured against the profile that its protocol allows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int8, Int64, UInt32

from kdgat.configs.data import DataConfig
from kdgat.data.graphs import NO_IDS, Graphs, build_graphs, concatenate, picked
from kdgat.data.profiles import VehicleProfile, make_profile, match_vehicle
from kdgat.data.windows import Messages, window_starts

UNPROFILED, BORROWED, OWN = 0, 1, 2
"""What a window is measured against: nothing, other captures of its vehicle, or benign traffic of
its own capture."""
REFERENCES = {UNPROFILED: "unprofiled", BORROWED: "borrowed", OWN: "own"}


@dataclass(frozen=True)
class Share:
    """Some windows of a capture, and what they are measured against."""

    windows: Int64[np.ndarray, "picked"]
    """Their positions among the capture's windows."""
    profile: VehicleProfile | None
    reference: int


def graphs_of_shares(
    messages: Messages,
    starts: Int64[np.ndarray, "graphs"],
    shares: Sequence[Share],
    config: DataConfig,
    vocabulary: UInt32[np.ndarray, "ids"] = NO_IDS,
) -> tuple[Graphs, Int8[np.ndarray, "graphs"]]:
    """The graphs of windows that shares divide among them, in the windows' order."""
    shares = [share for share in shares if len(share.windows)]
    reference = np.zeros(len(starts), np.int8)
    for share in shares:
        reference[share.windows] = share.reference
    parts = [
        build_graphs(messages, starts[share.windows], config, share.profile, vocabulary)
        for share in shares
    ]
    together = concatenate(parts, config, vocabulary)
    if len(shares) < 2:
        return together, reference
    order = np.argsort(np.concatenate([share.windows for share in shares]))
    return picked(together, order), reference


def graphs_by_library(
    messages: Messages,
    starts: Int64[np.ndarray, "graphs"],
    library: Mapping[str, VehicleProfile],
    config: DataConfig,
    vocabulary: UInt32[np.ndarray, "ids"] = NO_IDS,
) -> tuple[Graphs, Int8[np.ndarray, "graphs"]]:
    """`zero_shot`: each window against the training vehicle that it looks like, or nothing."""
    if "profile" not in config.features:
        library = {}
    found = match_vehicle(
        messages, starts, config.window_messages, library, config.vehicle_match_share
    )
    names = np.array([name or "" for name in found], dtype=object)
    vehicle = np.array([name is not None for name in found], dtype=bool)
    shares = [Share(np.flatnonzero(~vehicle), None, UNPROFILED)] + [
        Share(np.flatnonzero(vehicle & (names == name)), profile, BORROWED)
        for name, profile in library.items()
    ]
    return graphs_of_shares(messages, starts, shares, config, vocabulary)


def graphs_by_profile(
    messages: Messages,
    starts: Int64[np.ndarray, "graphs"],
    profile: VehicleProfile,
    config: DataConfig,
    vocabulary: UInt32[np.ndarray, "ids"] = NO_IDS,
) -> tuple[Graphs, Int8[np.ndarray, "graphs"]]:
    """`adapted`: every window against the profile of its own capture's prefix."""
    reference = OWN if "profile" in config.features else UNPROFILED
    everything = Share(np.arange(len(starts)), profile, reference)
    return graphs_of_shares(messages, starts, [everything], config, vocabulary)


def graphs_of_prefix(
    prefix: Messages,
    prefix_s: float,
    config: DataConfig,
    vocabulary: UInt32[np.ndarray, "ids"] = NO_IDS,
) -> Iterator[tuple[Graphs, Int8[np.ndarray, "graphs"]]]:
    """Windows of a prefix itself, for what is calibrated on it: those of either half.

    Each half is measured against the other half's profile, so that no window is measured against
    itself. Windows begin as often as training windows do.
    """
    half_s = prefix_s / 2
    middle = prefix_messages(prefix, half_s)
    halves = (prefix.span(0, middle), prefix.span(middle, len(prefix)))
    for half, other in (halves, halves[::-1]):
        starts = window_starts(len(half), config.window_messages, config.training_stride_messages)
        yield graphs_by_profile(half, starts, make_profile(other, half_s), config, vocabulary)


def prefix_messages(messages: Messages, prefix_s: float) -> int:
    """How many of a capture's first messages come within its first seconds.

    A clock may step back a little, so the prefix ends at the first message that is late enough.
    """
    if not len(messages):
        return 0
    late = messages.time_s >= messages.time_s[0] + prefix_s
    return int(late.argmax()) if late.any() else len(messages)
