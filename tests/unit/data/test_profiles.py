"""Profiles of a vehicle: figures worked out by hand, and how messages depart from them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdgat.data.profiles import (
    VehicleProfile,
    departures,
    load_library,
    make_profile,
    match_vehicle,
    merge_profiles,
    save_library,
)
from kdgat.data.windows import Messages
from kdgat.errors import DataError
from tests.unit.data.plain import Message, taken

# Id 0x20 comes every 10 ms but once, id 0x10 once. The last byte of 0x20 counts: 0, 1, 2, 3, 4.
BY_HAND = [
    Message(1.000, 0x20, b"\xf0\x00"),
    Message(1.010, 0x20, b"\xf0\x01"),
    Message(1.015, 0x10, b"\xff"),
    Message(1.020, 0x20, b"\xf0\x02"),
    Message(1.050, 0x20, b"\xf0\x03"),
    Message(1.060, 0x20, b"\xf0\x04\x00"),
]
NO_MESSAGES = taken([])


def same(one: VehicleProfile, other: VehicleProfile) -> bool:
    theirs = other.arrays()
    return all(np.array_equal(each, theirs[name]) for name, each in one.arrays().items())


def top(*data: int) -> int:
    """A payload whose first bytes these are."""
    return int.from_bytes(bytes(data).ljust(8, b"\0"), "big")


def departing(*messages: Message) -> dict[str, list[float]]:
    found = departures(taken(list(messages)), make_profile(taken(BY_HAND)))
    return {
        name: getattr(found, name).tolist()
        for name in ("known", "wrong_bits", "novelty", "surprise", "wrong_length")
    }


def test_a_profile_has_the_figures_of_each_id() -> None:
    profile = make_profile(taken(BY_HAND))
    assert profile.ids.tolist() == [0x10, 0x20]
    assert profile.messages.tolist() == [1, 5]
    assert profile.duration_s == pytest.approx(0.060)
    assert profile.rate_hz.tolist() == pytest.approx([1 / 0.060, 5 / 0.060])
    assert profile.dlc.tolist() == [1, 2], "the commonest length"
    assert profile.always.tolist() == [top(0xFF), top(0xF0)]
    assert profile.ever.tolist() == [top(0xFF), top(0xF0, 0x07)]


def test_intervals_are_quantiles_of_each_ids_own_and_never_below_what_a_logger_stamps() -> None:
    profile = make_profile(taken(BY_HAND))
    # Of the intervals 10, 10, 10 and 30 ms; an id that came once has the whole time.
    assert profile.early_s.tolist() == pytest.approx([0.060, 0.010])
    assert profile.median_s.tolist() == pytest.approx([0.060, 0.010])
    assert profile.late_s.tolist() == pytest.approx([0.060, 0.010])
    many = [Message(i * 0.010 + (0.004 if i % 10 == 9 else 0), 1, b"") for i in range(101)]
    spread = make_profile(taken(many))
    assert spread.early_s.item() == pytest.approx(0.006)
    assert spread.median_s.item() == pytest.approx(0.010)
    assert spread.late_s.item() == pytest.approx(0.014)
    back = make_profile(taken([Message(1.0, 1, b""), Message(0.9, 1, b""), Message(0.9, 1, b"")]))
    assert back.early_s.item() == 1e-4


def test_a_bits_rate_of_change_is_drawn_a_little_to_the_middle() -> None:
    profile = make_profile(taken(BY_HAND))
    # Bit 15 of the payload (the second byte's lowest) changed in all 4 pairs, bit 14 in 2.
    flips = profile.flips[1].tolist()
    assert flips[15] == pytest.approx(4.5 / 5)
    assert flips[14] == pytest.approx(2.5 / 5)
    assert flips[13] == pytest.approx(1.5 / 5)
    assert flips[0] == flips[63] == pytest.approx(0.5 / 5)
    assert profile.flips[0].tolist() == [0.5] * 64, "one message tells nothing"


def test_news_are_messages_after_the_middle_one_with_a_bit_as_never_before() -> None:
    # Of 0x20's last two messages the second (04) sets a bit that none before it had.
    assert make_profile(taken(BY_HAND)).news.tolist() == [0, 1]
    early = [Message(i / 100, 1, bytes([min(i, 1)])) for i in range(10)]
    assert make_profile(taken(early)).news.tolist() == [0], "all of it came in the first half"
    cleared = [Message(i / 100, 1, bytes([0xFF if i < 8 else 0xFE])) for i in range(10)]
    assert make_profile(taken(cleared)).news.tolist() == [1], "a bit that was always set counts"


def test_gaps_that_were_cut_out_are_told_by_the_duration() -> None:
    profile = make_profile(taken(BY_HAND), 0.5)
    assert profile.duration_s == 0.5
    assert profile.rate_hz.tolist() == pytest.approx([2, 10])


def test_a_profile_of_nothing_knows_no_id() -> None:
    profile = make_profile(NO_MESSAGES)
    assert len(profile) == 0
    assert profile.stranger_nats == pytest.approx(math.log(2))
    found = departures(taken(BY_HAND), profile)
    assert not found.known.any()
    assert not np.any([found.wrong_bits, found.novelty, found.surprise, found.wrong_length])


def test_a_stranger_is_less_of_a_surprise_where_ids_were_seen_once() -> None:
    # Six messages, one id seen once: (1 + 1/2) / (6 + 1).
    assert make_profile(taken(BY_HAND)).stranger_nats == pytest.approx(-math.log(1.5 / 7))
    settled = make_profile(taken([Message(i / 100, i % 2, b"") for i in range(100)]))
    assert settled.stranger_nats == pytest.approx(-math.log(0.5 / 101))


def test_an_unknown_id_departs_in_nothing_but_being_unknown() -> None:
    found = departing(Message(0, 0x15, b"\xff" * 8), Message(1, 0x21, b"\x0f"))
    assert found["known"] == [False, False]
    for name in ("wrong_bits", "novelty", "surprise", "wrong_length"):
        assert found[name] == [0, 0]


def test_wrong_bits_are_those_never_set_and_those_always_set() -> None:
    found = departing(
        Message(0, 0x20, b"\xf0\x07"),  # every bit was seen set, though never together
        Message(1, 0x20, b"\xf1\x00"),  # one bit that never was set
        Message(2, 0x20, b"\x70\x18"),  # one cleared that always was set, two never set
        Message(3, 0x10, b""),  # eight bits cleared
    )
    assert found["wrong_bits"] == [0, 1, 1 + 2, 8]


def test_a_new_bit_is_less_of_a_surprise_in_an_id_that_still_showed_new_ones() -> None:
    found = departing(
        Message(0, 0x20, b"\xf0\x07"), Message(1, 0x20, b"\xf1\x00"), Message(2, 0x10, b"\xfe")
    )
    # One of the two messages of 0x20 after its middle was news; of 0x10 there was none.
    assert found["novelty"] == pytest.approx([0, -math.log(1.5 / 4), -math.log(0.5 / 2)])


def test_surprise_adds_up_the_rarity_of_the_bits_that_changed() -> None:
    found = departing(
        Message(0, 0x20, b"\xf0\x00"),
        Message(1, 0x10, b"\xff"),
        Message(2, 0x20, b"\xf0\x01"),  # bit 15 changed, as it always did
        Message(3, 0x20, b"\xf0\x01"),
        Message(4, 0x20, b"\xf1\x03"),  # bit 7, which never did, and bit 14
    )
    nats = [0, 0, -math.log(4.5 / 5), 0, -math.log(0.5 / 5) - math.log(2.5 / 5)]
    assert found["surprise"] == pytest.approx(nats)


def test_a_wrong_length_is_one_that_is_not_the_commonest() -> None:
    found = departing(Message(0, 0x20, b"\xf0\x00"), Message(1, 0x20, b"\xf0\x00\x00"))
    assert found["wrong_length"] == [False, True]


@given(st.permutations(range(6)))
def test_only_the_order_of_an_ids_own_messages_matters(order: list[int]) -> None:
    twenty = iter(m for m in BY_HAND if m.id == 0x20)
    ten = iter(m for m in BY_HAND if m.id == 0x10)
    ids = [BY_HAND[i].id for i in order]
    shuffled = [next(ten) if id == 0x10 else next(twenty) for id in ids]
    assert same(make_profile(taken(shuffled)), make_profile(taken(BY_HAND)))


def test_profiles_of_several_captures_add_up() -> None:
    other = [
        Message(9.0, 0x20, b"\xf1\x00\x01"),
        Message(9.1, 0x30, b"\x01"),
        Message(9.2, 0x30, b"\x01"),
    ]
    one, two = make_profile(taken(BY_HAND)), make_profile(taken(other))
    both = merge_profiles([one, two])
    assert both.ids.tolist() == [0x10, 0x20, 0x30]
    assert both.messages.tolist() == [1, 6, 2]
    assert both.duration_s == pytest.approx(0.26)
    assert both.rate_hz.tolist() == pytest.approx([1 / 0.26, 6 / 0.26, 2 / 0.26])
    assert both.always.tolist() == [top(0xFF), top(0xF0), top(0x01)]
    assert both.ever.tolist() == [top(0xFF), top(0xF1, 0x07, 0x01), top(0x01)]
    assert both.news.tolist() == [0, 1, 0]
    assert both.dlc.tolist() == [1, 2, 1]
    assert both.median_s.tolist() == pytest.approx([0.060, (5 * 0.010 + 0.2) / 6, 0.1])
    assert both.flips[1, 15] == pytest.approx((5 * 4.5 / 5 + 0.5) / 6)
    assert merge_profiles([one]) is one
    assert same(merge_profiles([two, one]), both)


FLOOD, KIA, SPARK = 0x000, [0x100, 0x110, 0x120, 0x130], [0x100, 0x210, 0x220, 0x230]
LIBRARY = {
    name: make_profile(taken([Message(i / 100, id, b"") for i, id in enumerate(ids)]))
    for name, ids in (("kia", KIA), ("spark", SPARK))
}


def windows(*each: list[int], window: int = 8) -> tuple[Messages, np.ndarray]:
    """Windows of eight messages with these ids."""
    ids = np.array([id for part in each for id in part], np.uint32)
    count = len(ids)
    nothing = np.zeros(count, np.uint64)
    messages = Messages(np.arange(count) / 1000, ids, nothing.astype(np.uint8), nothing)
    return messages, np.arange(0, count, window)


@pytest.mark.parametrize(
    ("ids", "vehicle"),
    [
        pytest.param(KIA * 2, "kia", id="its own traffic"),
        pytest.param(SPARK * 2, "spark", id="the other's traffic"),
        pytest.param([*KIA, *[FLOOD] * 4], "kia", id="flooded to the half"),
        pytest.param([FLOOD] * 6 + SPARK[:2], "spark", id="flooded, two of three ids known"),
        pytest.param([*KIA[1:], *KIA[1:], 0x7F1, 0x7F2], "kia", id="two random ids"),
        pytest.param([*SPARK[1:], 0x7F1, 0x7F2, 0x7F3, 0x7F4, 0x7F5], None, id="random ids"),
        pytest.param([0x400 + i for i in range(8)], None, id="a vehicle that is in no library"),
        pytest.param([FLOOD] * 8, None, id="nothing but the flood"),
    ],
)
def test_a_window_is_of_the_vehicle_whose_ids_it_has(ids: list[int], vehicle: str | None) -> None:
    messages, starts = windows(ids)
    assert match_vehicle(messages, starts, 8, LIBRARY, 0.5) == [vehicle]


def test_no_window_has_a_say_in_the_vehicle_of_another() -> None:
    parts = [KIA * 2, [FLOOD] * 8, SPARK * 2, [0x400] * 8, KIA * 2]
    messages, starts = windows(*parts)
    found = match_vehicle(messages, starts, 8, LIBRARY, 0.5)
    assert found == ["kia", None, "spark", None, "kia"]
    assert match_vehicle(messages, starts[::-1], 8, LIBRARY, 0.5) == found[::-1]


def test_many_windows_are_matched_as_one_alone_is() -> None:
    draw = np.random.default_rng(0)
    parts = draw.choice([*KIA, *SPARK, FLOOD, 0x400], (20_000, 8))
    messages, starts = windows(*parts.tolist())
    found = match_vehicle(messages, starts, 8, LIBRARY, 0.7)
    assert len(set(found)) == 3
    for place in (0, 8191, 8192, 8193, 16_384, 19_999):
        alone, start = windows(parts[place].tolist())
        assert match_vehicle(alone, start, 8, LIBRARY, 0.7) == [found[place]]


def test_the_least_share_decides_whether_a_window_has_a_vehicle() -> None:
    messages, starts = windows([*KIA[:3], 0x7F1, 0x7F2, 0x7F3, 0x7F4, 0x7F5])
    assert match_vehicle(messages, starts, 8, LIBRARY, 3 / 8) == ["kia"]
    assert match_vehicle(messages, starts, 8, LIBRARY, 0.38) == [None]
    assert match_vehicle(messages, starts, 8, {}, 0.0) == [None]
    assert match_vehicle(messages, starts[:0], 8, LIBRARY, 0.5) == []


def test_a_library_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    library = {**LIBRARY, "": make_profile(NO_MESSAGES), "a/b": make_profile(taken(BY_HAND))}
    save_library(tmp_path / "library.npz", library)
    found = load_library(tmp_path / "library.npz")
    assert list(found) == list(library)
    assert all(same(found[name], library[name]) for name in library)
    assert [path.name for path in tmp_path.iterdir()] == ["library.npz"]


def test_the_same_library_is_saved_as_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        save_library(tmp_path / name, LIBRARY)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize("kept", [None, 0.0, 0.3, 0.99])
def test_a_library_that_is_missing_or_damaged_says_what_to_delete(
    tmp_path: Path, kept: float | None
) -> None:
    path = tmp_path / "graphs/library.npz"
    if kept is not None:
        path.parent.mkdir()
        save_library(path, LIBRARY)
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(DataError, match="can't be read") as caught:
        load_library(path)
    assert str(path) in caught.value.problem
    assert f"delete '{path.parent}'" in caught.value.hint


def test_a_byte_changed_in_a_library_is_refused_or_harmless(tmp_path: Path) -> None:
    path = tmp_path / "library.npz"
    save_library(path, LIBRARY)
    whole = path.read_bytes()
    refused = 0
    # The zip's own directory is at the end.
    for place in [*range(0, 2000, 7), *range(len(whole) - 1000, len(whole), 3)]:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            found = load_library(path)
        except DataError:
            refused += 1
        else:
            assert all(same(found[name], LIBRARY[name]) for name in LIBRARY)
    assert refused > 200
