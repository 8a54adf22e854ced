"""Features of one group each, on payloads and times whose answers are known by hand."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdgat.configs.data import FeatureGroup
from kdgat.data.features import (
    FEATURE_NAMES,
    Segments,
    byte_entropy_bits,
    byte_features,
    edge_features,
    entropy_features,
    feature_names,
    id_features,
    payload_bytes,
    profile_features,
    rate_features,
    shape_features,
    timing_features,
)
from kdgat.data.profiles import departures, make_profile
from tests.unit.data.plain import Message, taken

PAYLOADS = st.binary(max_size=8)


def one_node(rows: int) -> Segments:
    return Segments(np.array([0]), rows)


def columns(payloads: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """The payload and dlc columns of some messages."""
    numbers = [int.from_bytes(p.ljust(8, b"\0"), "big") for p in payloads]
    return np.array(numbers, np.uint64), np.array([len(p) for p in payloads], np.uint8)


def named(group: FeatureGroup, values: list[np.ndarray]) -> dict[str, float]:
    """Features of a single node by their names."""
    return {name: v.item() for name, v in zip(FEATURE_NAMES[group], values, strict=True)}


def test_names_follow_the_order_of_the_groups_asked_for() -> None:
    assert feature_names(["timing", "rate"]) == (
        *("interval_ms_log", "interval_std_ms_log", "interval_min_ms_log"),
        *("messages_log", "share_of_window", "rate_hz_log"),
    )
    everything = feature_names(["bytes", "entropy", "rate", "timing", "shape", "profile"])
    assert len(everything) == len(set(everything)) == 27 + 7 + 14
    for group in ("shape", "profile"):
        assert all(name.startswith(f"{group}_") for name in feature_names([group]))


def test_the_first_byte_of_a_payload_comes_first() -> None:
    payload, _ = columns([bytes([1, 2, 3, 4, 5, 6, 7, 8]), b"\xff"])
    assert payload_bytes(payload).T.tolist() == [[1, 2, 3, 4, 5, 6, 7, 8], [255] + [0] * 7]


def test_segments_are_summed_each_for_itself() -> None:
    segments = Segments(np.array([0, 2, 3]), 6)
    values = np.array([1, 2, 3, 4, 5, 6], np.float32)
    assert segments.sizes.tolist() == [2, 1, 3]
    assert segments.total(values).tolist() == [3, 3, 15]
    assert segments.least(values).tolist() == [1, 3, 4]


def test_bytes_are_averaged_over_messages_and_a_missing_one_is_zero() -> None:
    payload, dlc = columns([bytes([255, 0]), bytes([255, 255, 10]), b""])
    found = named("bytes", byte_features(one_node(3), payload, dlc))
    assert found["byte0_mean"] == pytest.approx(2 / 3)
    assert found["byte0_std"] == pytest.approx(math.sqrt(2) / 3)
    assert found["byte1_mean"] == pytest.approx(1 / 3)
    assert found["byte2_mean"] == pytest.approx(10 / 3 / 255)
    assert found["byte7_mean"] == found["byte7_std"] == 0
    assert found["dlc"] == pytest.approx(5 / 3 / 8)


@pytest.mark.parametrize("value", [0, 1, 254, 255])
def test_a_byte_that_never_changes_has_no_deviation_in_the_longest_window(value: int) -> None:
    # 10,000 squares of 255 are beyond what single precision counts exactly.
    payload, dlc = columns([bytes([value] * 8)] * 10_000)
    found = named("bytes", byte_features(one_node(10_000), payload, dlc))
    assert [found[f"byte{i}_std"] for i in range(8)] == [0] * 8
    assert found["byte0_mean"] == pytest.approx(value / 255)


@settings(deadline=None)
@given(st.lists(PAYLOADS, min_size=1, max_size=30))
def test_the_entropy_of_a_message_is_that_of_its_byte_values(payloads: list[bytes]) -> None:
    def entropy(data: bytes) -> float:
        counts = Counter(data).values()
        return sum(-n / len(data) * math.log2(n / len(data)) for n in counts)

    found = byte_entropy_bits(*columns(payloads))
    assert found.dtype == np.float32
    assert (found >= 0).all()
    assert found.tolist() == pytest.approx([entropy(data) for data in payloads], abs=1e-6)


@pytest.mark.parametrize(
    ("payload", "bits"),
    [(b"", 0), (b"\x07", 0), (b"\0" * 8, 0), (bytes(range(8)), 3), (b"\0\0\1\1", 1)],
)
def test_the_entropy_of_known_payloads_is_exact(payload: bytes, bits: float) -> None:
    assert byte_entropy_bits(*columns([payload])).tolist() == [bits]


def test_changes_are_counted_from_one_message_to_the_next() -> None:
    payload, dlc = columns([b"\x0f\x00", b"\x0f\x00", b"\xf0\x00", b""])
    found = named("entropy", entropy_features(one_node(4), payload, dlc))
    assert found["bits_set"] == pytest.approx((4 / 16 * 3 + 0) / 4)
    # No bit, then 8 of 16 bits, then 4 bits against an empty message, which counts as one byte.
    assert found["bits_changed"] == pytest.approx((0 + 8 / 16 + 4 / 8) / 3)
    assert found["payload_repeated"] == pytest.approx(1 / 3)


def test_the_last_message_of_one_node_is_not_compared_with_the_first_of_the_next() -> None:
    payload, dlc = columns([b"\xaa", b"\xaa", b"\x55", b"\x55"])
    nodes = Segments(np.array([0, 1, 3]), 4)
    _, _, changed, repeated = entropy_features(nodes, payload, dlc)
    assert changed.tolist() == [0, 1, 0]
    assert repeated.tolist() == [0, 0, 0]


def test_a_rate_is_messages_per_second_of_the_window() -> None:
    (count, share, rate) = rate_features(Segments(np.array([0, 3]), 4), 4, np.array([0.5, 0.5]))
    assert count.tolist() == pytest.approx([math.log(4), math.log(2)])
    assert share.tolist() == [0.75, 0.25]
    assert rate.tolist() == pytest.approx([math.log(7), math.log(3)])


def test_a_window_without_duration_has_a_finite_rate() -> None:
    assert np.isfinite(rate_features(one_node(4), 4, np.array([0.0]))[2]).all()


def test_intervals_are_between_messages_of_the_same_node() -> None:
    time_s = np.array([0.0, 0.010, 0.030, 0.005])
    nodes = Segments(np.array([0, 3]), 4)
    mean, deviation, least = timing_features(nodes, time_s, np.array([0.040, 0.040]))
    # The second node was seen once: its interval is at least the window.
    assert mean.tolist() == pytest.approx([math.log1p(15), math.log1p(40)])
    assert deviation.tolist() == pytest.approx([math.log1p(5), 0])
    assert least.tolist() == pytest.approx([math.log1p(10), math.log1p(40)])


@pytest.mark.parametrize("start_s", [0.0, 1_672_531_200.0])
def test_a_strictly_periodic_node_has_no_deviation_of_its_interval(start_s: float) -> None:
    # Single precision would see a tenth of a millisecond of jitter; a clock since 1970 has 0.2 us.
    time_s = start_s + np.arange(100) / 10
    _, deviation, _ = timing_features(one_node(100), time_s, np.array([9.9]))
    assert deviation.item() == pytest.approx(0, abs=5e-4)


def test_a_step_backwards_in_time_is_an_interval_of_zero() -> None:
    mean, _, least = timing_features(one_node(3), np.array([1.0, 0.992, 1.002]), np.array([0.002]))
    assert mean.tolist() == pytest.approx([math.log1p(5)])
    assert least.tolist() == [0]


def test_the_shape_of_an_id_is_relative_to_its_window_and_to_itself() -> None:
    # Ids at 0, 10, 30 and 40 ms at places 0, 1, 5 and 6 of a window of 50 ms; another one twice.
    time_s = np.array([0.0, 0.010, 0.030, 0.040, 0.005, 0.050])
    payload, dlc = columns([b"\x00", b"\x0f", b"\x0f", b"\xff", b"", b""])
    nodes, place = Segments(np.array([0, 4]), 6), np.array([0, 1, 5, 6, 3, 9])
    duration_s = np.array([0.050, 0.050])
    found = shape_features(nodes, np.array([0, 2]), time_s, duration_s, place, payload, dlc)
    busy, other = (
        {name: value[i].item() for name, value in zip(FEATURE_NAMES["shape"], found, strict=True)}
        for i in (0, 1)
    )
    mean, deviation = 40 / 3, math.sqrt((100 + 400 + 100) / 3 - (40 / 3) ** 2)
    assert busy == {
        "shape_count_to_median_log": pytest.approx(math.log(4 / 3)),
        "shape_interval_variation_log": pytest.approx(math.log1p(deviation / mean)),
        "shape_interval_min_to_mean_log": pytest.approx(math.log(10 / mean)),
        "shape_back_to_back": pytest.approx(2 / 3),
        "shape_span": pytest.approx(0.8),
        "shape_flips_max": pytest.approx(4 / 8),
        "shape_flips_spread": pytest.approx(4 / 8 - 8 / 24),
    }
    assert other["shape_count_to_median_log"] == pytest.approx(math.log(2 / 3))
    # One interval says nothing of how much intervals vary.
    assert other["shape_interval_variation_log"] == other["shape_interval_min_to_mean_log"] == 0


def test_an_id_that_comes_as_its_profile_says_departs_in_nothing() -> None:
    usual = taken([Message(i / 100, 0x20, bytes([i % 2])) for i in range(200)])
    profile = make_profile(usual, 2.0)
    rows = np.arange(50, 70)
    against = departures(usual, profile)
    found = profile_features(one_node(20), rows, usual.time_s[rows], np.array([0.2]), against)
    values = named("profile", found)
    assert (values.pop("profile_there"), values.pop("profile_known")) == (1, 1)
    # The lowest bit changes in all of its 199 pairs, which is hardly a surprise.
    assert values.pop("profile_surprise_log") == pytest.approx(-math.log(199.5 / 200), rel=1e-2)
    assert values.pop("profile_surprise_max_log") < 0.01
    assert values.pop("profile_interval_min") == pytest.approx(0, abs=1e-3)
    assert [*values.values()] == pytest.approx([0] * len(values), abs=1e-3)


def test_an_id_that_comes_ten_times_as_often_and_another_way_departs() -> None:
    usual = taken([Message(i / 100, 0x20, bytes([i % 2])) for i in range(200)])
    strange = taken([Message(5 + i / 1000, 0x20, b"\x80\x01") for i in range(20)])
    against = departures(strange, make_profile(usual, 2.0))
    rows = np.arange(20)
    found = profile_features(one_node(20), rows, strange.time_s, np.array([0.020]), against)
    values = named("profile", found)
    assert values["profile_count"] == pytest.approx((20 - 2) / math.sqrt(3))
    # The profile's 199 intervals count as much as ten more that tell nothing would leave them.
    assert values["profile_interval"] == pytest.approx(-math.log(10) / 0.1 * 199 / 209, rel=1e-3)
    assert values["profile_interval_min"] == pytest.approx(values["profile_interval"], rel=1e-3)
    # Bit 7 and the second byte's lowest were never set.
    assert values["profile_wrong_bits_log"] == values["profile_wrong_bits_max_log"]
    assert values["profile_wrong_bits_max_log"] == pytest.approx(math.log(3))
    assert values["profile_wrong_bits_share"] == values["profile_wrong_length"] == 1
    assert values["profile_novelty"] == pytest.approx(-math.log(0.5 / 101))


def test_without_a_profile_all_columns_of_it_are_zero() -> None:
    found = profile_features(one_node(3), np.arange(3), np.arange(3.0), np.array([2.0]), None)
    assert np.concatenate(found).tolist() == [0] * len(FEATURE_NAMES["profile"])


def test_an_id_is_encoded_as_nothing_as_bits_or_as_a_place() -> None:
    ids, known = np.array([3, 7, 8], np.uint32), np.array([3, 8], np.uint32)
    assert id_features(ids, "none", 8, known) == []
    bits = np.stack(id_features(ids, "hash", 64, known), axis=1)
    assert bits.shape == (3, 64)
    assert np.abs(bits).tolist() == np.ones((3, 64)).tolist()
    assert len(np.unique(bits, axis=0)) == 3
    place = np.stack(id_features(ids, "lookup_unk", 8, known), axis=1)
    assert place.tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]
    nobody = np.stack(id_features(ids, "lookup_unk", 8, known[:0]), axis=1)
    assert nobody.tolist() == [[1], [1], [1]]


def test_an_edge_says_how_many_transitions_it_has_and_how_long_they_took() -> None:
    edges = Segments(np.array([0, 2]), 3)
    found = edge_features(edges, np.array([1, 3, 7], np.float32))
    expected = [[math.log(3), math.log(3), math.log(2)], [math.log(2), math.log(8), math.log(8)]]
    assert found.tolist() == [pytest.approx(row) for row in expected]
