"""Windows: where they start, which are attacks, and what makes two of them the same."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdgat.data.messages import MESSAGE_SCHEMA
from kdgat.data.windows import (
    Messages,
    tail_messages,
    window_attacks,
    window_hashes,
    window_starts,
)

LENGTHS = st.integers(0, 300)
WINDOWS = st.integers(4, 40)
STRIDES = st.integers(1, 60)
# Few values, so that equal windows occur.
CONTENT = st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 2))


def messages(content: list[tuple[int, int, int]], start_s: float = 0.0) -> Messages:
    ids, dlc, payload = zip(*content, strict=True) if content else ((), (), ())
    return Messages(
        time_s=start_s + np.arange(len(content)) / 1000,
        arbitration_id=np.array(ids, np.uint32),
        dlc=np.array(dlc, np.uint8),
        payload=np.array(payload, np.uint64),
    )


def hashes_of(content: list[tuple[int, int, int]], window: int, stride: int = 1) -> list[int]:
    starts = window_starts(len(content), window, stride)
    return window_hashes(messages(content), starts, window).tolist()


@settings(deadline=None)
@given(LENGTHS, WINDOWS, STRIDES)
def test_every_window_lies_within_its_capture_and_no_further_one_would(
    length: int, window: int, stride: int
) -> None:
    starts = window_starts(length, window, stride)
    assert starts.tolist() == [s for s in range(0, length, stride) if s + window <= length]


@settings(deadline=None)
@given(LENGTHS, WINDOWS, STRIDES)
def test_the_tail_is_what_no_window_reaches(length: int, window: int, stride: int) -> None:
    starts = window_starts(length, window, stride)
    reached = max((start + window for start in starts.tolist()), default=0)
    assert tail_messages(length, window, stride) == length - reached


@pytest.mark.parametrize(
    ("length", "starts", "tail"),
    [(3, [], 3), (4, [0], 0), (7, [0], 3), (8, [0, 4], 0), (9, [0, 4], 1)],
)
def test_a_tail_shorter_than_a_window_is_counted_and_not_padded(
    length: int, starts: list[int], tail: int
) -> None:
    assert window_starts(length, 4, 4).tolist() == starts
    assert tail_messages(length, 4, 4) == tail


@settings(deadline=None)
@given(st.lists(st.booleans(), max_size=100), st.integers(4, 12), st.integers(1, 15))
def test_a_window_has_the_attack_messages_that_lie_in_it(
    attack: list[bool], window: int, stride: int
) -> None:
    starts = window_starts(len(attack), window, stride)
    counted = window_attacks(np.array(attack, bool), starts, window)
    assert counted.tolist() == [sum(attack[s : s + window]) for s in starts.tolist()]


@pytest.mark.parametrize("place", range(8))
def test_one_attack_message_makes_exactly_its_window_an_attack(place: int) -> None:
    attack = np.arange(8) == place
    counted = window_attacks(attack, np.array([0, 4]), 4)
    assert (counted > 0).tolist() == [place < 4, place >= 4]


@settings(deadline=None)
@given(st.lists(CONTENT, min_size=4, max_size=60), st.integers(4, 6))
def test_windows_have_the_same_hash_just_when_their_content_is_the_same(
    content: list[tuple[int, int, int]], window: int
) -> None:
    hashes = hashes_of(content, window)
    windows = [tuple(content[s : s + window]) for s in range(len(content) - window + 1)]
    assert len(set(hashes)) == len(set(windows))
    assert len(set(zip(hashes, windows, strict=True))) == len(set(windows))


def test_the_hash_of_a_window_ignores_the_clock_and_its_neighbours() -> None:
    content = [(1, 1, 1), (2, 0, 0), (1, 1, 2), (0, 1, 1)]
    alone = window_hashes(messages(content), np.array([0]), 4)
    later = messages([(9, 1, 9), *content, (9, 1, 9)], start_s=1e9)
    assert window_hashes(later, np.array([1]), 4) == alone


@pytest.mark.parametrize(
    "other",
    [
        [(2, 8, 0), (1, 8, 5), (3, 8, 0), (4, 8, 0)],
        [(1, 8, 0), (2, 8, 5), (3, 8, 0), (4, 8, 0)],
        [(1, 8, 5), (2, 8, 0), (3, 8, 0), (4, 7, 0)],
        [(1, 8, 5), (2, 8, 0), (3, 8, 1 << 63), (4, 8, 0)],
        [(1, 8, 5), (2, 8, 0), (3, 8, 0), (0x1FFF_FFFF, 8, 0)],
        [(3, 8, 5 ^ 2 << 8), (2, 8, 0), (3, 8, 0), (4, 8, 0)],
    ],
    ids=[
        "ids exchanged",
        "payloads exchanged",
        "a length",
        "the first bit",
        "an extended id",
        "the bits of an id moved to the payload",
    ],
)
def test_a_small_difference_gives_another_hash(other: list[tuple[int, int, int]]) -> None:
    content = [(1, 8, 5), (2, 8, 0), (3, 8, 0), (4, 8, 0)]
    assert hashes_of(content, 4) != hashes_of(other, 4)


def test_messages_are_a_captures_columns_without_its_labels() -> None:
    rows = [(0.5, 0x081, 1, 0xAB << 56, True, False), (0.4, 0x1E5, 0, 0, False, True)]
    taken = Messages.from_frame(pl.DataFrame(rows, MESSAGE_SCHEMA, orient="row"))
    assert vars(taken).keys() == {"time_s", "arbitration_id", "dlc", "payload"}
    assert taken.time_s.tolist() == [0.5, 0.4]
    assert taken.span(1, 2).arbitration_id.tolist() == [0x1E5]
    assert (len(taken), len(taken.span(0, 1))) == (2, 1)
