"""Windows measured against several profiles: each against its own, all in their order."""

from __future__ import annotations

import numpy as np
import pytest

from kdgat.configs.data import DataConfig
from kdgat.data.graphs import Graphs, build_graphs
from kdgat.data.measured import (
    BORROWED,
    OWN,
    UNPROFILED,
    Share,
    graphs_by_library,
    graphs_by_profile,
    graphs_of_shares,
    prefix_messages,
)
from kdgat.data.profiles import VehicleProfile, make_profile
from kdgat.data.windows import Messages, window_starts

CONFIG = DataConfig(window_messages=10, stride_messages=5)


def traffic(first_id: int, seed: int, count: int = 200) -> Messages:
    """Eight ids from `first_id` on, with random payloads and intervals."""
    draw = np.random.default_rng(seed)
    return Messages(
        time_s=3.0 + np.cumsum(draw.uniform(0.0005, 0.002, count)),
        arbitration_id=(first_id + draw.integers(0, 8, count)).astype(np.uint32),
        dlc=draw.integers(1, 9, count).astype(np.uint8),
        payload=draw.integers(0, 2**64, count, dtype=np.uint64),
    )


def two_vehicles() -> Messages:
    """First one vehicle's traffic, then the other's, then that of neither."""
    parts = [traffic(0x100, 1), traffic(0x200, 2), traffic(0x300, 3)]
    return Messages(
        np.concatenate([part.time_s + number for number, part in enumerate(parts)]),
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("arbitration_id", "dlc", "payload")
        ),
    )


LIBRARY = {"one": make_profile(traffic(0x100, 4)), "two": make_profile(traffic(0x200, 5))}


def assert_windows(
    found: Graphs, places: np.ndarray, starts: np.ndarray, profile: VehicleProfile | None
) -> None:
    """Windows at `places` are what they are when they are built against this profile alone."""
    alone = build_graphs(two_vehicles(), starts[places], CONFIG, profile)
    for number, place in enumerate(places.tolist()):
        for rows, pointer, mine in (
            (found.x, found.node_ptr, (alone.x, alone.node_ptr)),
            (found.edge_attr, found.edge_ptr, (alone.edge_attr, alone.edge_ptr)),
        ):
            expected = mine[0][mine[1][number] : mine[1][number + 1]]
            np.testing.assert_array_equal(rows[pointer[place] : pointer[place + 1]], expected)


def test_shares_are_put_together_in_the_windows_own_order() -> None:
    messages = two_vehicles()
    starts = window_starts(len(messages), 10, 5)
    mixed = np.random.default_rng(0).permutation(len(starts))
    picks = [np.sort(mixed[:30]), np.sort(mixed[30:60]), np.sort(mixed[60:])]
    shares = [
        Share(picks[0], LIBRARY["two"], OWN),
        Share(picks[1], None, UNPROFILED),
        Share(np.zeros(0, np.int64), LIBRARY["one"], OWN),
        Share(picks[2], LIBRARY["one"], BORROWED),
    ]
    found, reference = graphs_of_shares(messages, starts, shares, CONFIG)
    np.testing.assert_array_equal(found.start_s, messages.time_s[starts])
    np.testing.assert_array_equal(found.end_s, messages.time_s[starts + 9])
    for share in shares:
        assert_windows(found, share.windows, starts, share.profile)
        assert set(reference[share.windows].tolist()) <= {share.reference}


def test_zero_shot_measures_each_window_against_the_vehicle_it_looks_like() -> None:
    messages = two_vehicles()
    starts = window_starts(len(messages), 10, 10)
    found, reference = graphs_by_library(messages, starts, LIBRARY, CONFIG)
    assert reference.tolist() == [BORROWED] * 40 + [UNPROFILED] * 20
    assert_windows(found, np.arange(20), starts, LIBRARY["one"])
    assert_windows(found, np.arange(20, 40), starts, LIBRARY["two"])
    assert_windows(found, np.arange(40, 60), starts, None)


def test_adapted_measures_every_window_against_the_prefix() -> None:
    messages = two_vehicles()
    starts = window_starts(len(messages), 10, 10)
    found, reference = graphs_by_profile(messages, starts, LIBRARY["one"], CONFIG)
    assert reference.tolist() == [OWN] * 60
    assert_windows(found, np.arange(60), starts, LIBRARY["one"])


@pytest.mark.parametrize("protocol", ["zero_shot", "adapted"])
def test_without_profile_features_no_window_is_measured_against_anything(protocol: str) -> None:
    config = CONFIG.model_copy(update={"features": ("shape", "rate")})
    messages = two_vehicles()
    starts = window_starts(len(messages), 10, 10)
    if protocol == "zero_shot":
        found, reference = graphs_by_library(messages, starts, LIBRARY, config)
    else:
        found, reference = graphs_by_profile(messages, starts, LIBRARY["one"], config)
    assert set(reference.tolist()) == {UNPROFILED}
    np.testing.assert_array_equal(found.x, build_graphs(messages, starts, config).x)


def test_no_windows_have_no_graphs() -> None:
    none = np.zeros(0, np.int64)
    for found, reference in (
        graphs_by_library(two_vehicles(), none, LIBRARY, CONFIG),
        graphs_by_profile(two_vehicles(), none, LIBRARY["one"], CONFIG),
    ):
        assert (len(found), reference.tolist(), found.x.shape) == (0, [], (0, 21))


def test_a_prefix_ends_at_the_first_message_that_is_late_enough() -> None:
    def prefix(*time_s: float) -> int:
        count = len(time_s)
        nothing = np.zeros(count, np.uint64)
        ids, dlc = nothing.astype(np.uint32), nothing.astype(np.uint8)
        return prefix_messages(Messages(np.array(time_s), ids, dlc, nothing), 1.0)

    assert prefix(5.0, 5.5, 5.9, 6.0, 6.1) == 3
    assert prefix(5.0, 5.5, 6.1, 5.9, 6.2) == 2, "a clock that steps back does not go on with it"
    assert prefix(5.0, 5.5) == 2, "a capture may end before its prefix does"
    assert prefix() == 0
