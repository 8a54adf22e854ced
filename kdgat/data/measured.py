"""Windows of a capture as graphs, each measured against the profile that its protocol allows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int8, Int64, UInt32, UInt64

from kdgat.configs.data import DataConfig
from kdgat.data.graphs import NO_IDS, Graphs, build_graphs, concatenate, picked
from kdgat.data.profiles import VehicleProfile, changed_bits, make_profile, match_vehicle
from kdgat.data.windows import Messages, window_starts

UNPROFILED, BORROWED, OWN = 0, 1, 2
"""What a window is measured against: nothing, other captures of its vehicle, or benign traffic of
its own capture."""
REFERENCES = {UNPROFILED: "unprofiled", BORROWED: "borrowed", OWN: "own"}
_BLOCK_MESSAGES = 800_000
"""Messages of the windows of a block: the more, the more memory, and below a quarter of it the more
time goes into beginning with each share again."""


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
    changed: UInt64[np.ndarray, "messages"] | None = None,
) -> tuple[Graphs, Int8[np.ndarray, "graphs"]]:
    """The graphs of windows that shares divide among them, in the windows' order.

    `changed` are the capture's `changed_bits` at these messages, where they are not all of it.
    """
    shares = [share for share in shares if len(share.windows)]
    reference = np.zeros(len(starts), np.int8)
    for share in shares:
        reference[share.windows] = share.reference
    parts = [
        build_graphs(messages, starts[share.windows], config, share.profile, vocabulary, changed)
        for share in shares
    ]
    together = concatenate(parts, config, vocabulary)
    if len(shares) < 2:
        return together, reference
    order = np.argsort(np.concatenate([share.windows for share in shares]))
    return picked(together, order), reference


def graph_blocks(
    messages: Messages,
    starts: Int64[np.ndarray, "windows"],
    shares: Sequence[Share],
    config: DataConfig,
    vocabulary: UInt32[np.ndarray, "ids"] = NO_IDS,
) -> Iterator[tuple[slice, Graphs, Int8[np.ndarray, "graphs"]]]:
    """`graphs_of_shares` a block of consecutive windows at a time, and which windows these are.

    `starts` ascend, and so do the windows of each share. What is in memory at a time does not grow
    with the capture, but for `changed_bits` of its messages.
    """
    measured = "profile" in config.features and any(share.profile is not None for share in shares)
    changed = changed_bits(messages) if measured else None
    step = max(1, _BLOCK_MESSAGES // config.window_messages)
    for first in range(0, len(starts), step):
        block = slice(first, min(first + step, len(starts)))
        low, high = int(starts[first]), int(starts[block.stop - 1]) + config.window_messages
        graphs, reference = graphs_of_shares(
            messages.span(low, high),
            starts[block] - low,
            [_within(share, block) for share in shares],
            config,
            vocabulary,
            None if changed is None else changed[low:high],
        )
        yield block, graphs, reference


def _within(share: Share, block: slice) -> Share:
    """The windows of a share that lie in a block, counted from its first."""
    begin, end = np.searchsorted(share.windows, (block.start, block.stop))
    return Share(share.windows[begin:end] - block.start, share.profile, share.reference)


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
    itself.
    """
    for half, starts, other in halves_of_prefix(prefix, prefix_s, config):
        profile = make_profile(other, prefix_s / 2)
        yield graphs_by_profile(half, starts, profile, config, vocabulary)


def halves_of_prefix(
    prefix: Messages, prefix_s: float, config: DataConfig
) -> Iterator[tuple[Messages, Int64[np.ndarray, "graphs"], Messages]]:
    """Each half, where its windows begin (as often as training windows do), and the other half."""
    middle = prefix_messages(prefix, prefix_s / 2)
    halves = (prefix.span(0, middle), prefix.span(middle, len(prefix)))
    for half, other in (halves, halves[::-1]):
        starts = window_starts(len(half), config.window_messages, config.training_stride_messages)
        yield half, starts, other


def prefix_messages(messages: Messages, prefix_s: float) -> int:
    """How many of a capture's first messages come within its first seconds.

    A clock may step back a little, so the prefix ends at the first message that is late enough.
    """
    if not len(messages):
        return 0
    late = messages.time_s >= messages.time_s[0] + prefix_s
    return int(late.argmax()) if late.any() else len(messages)
