"""Splits: contiguous blocks, no message on both sides, and no content on both sides."""

from __future__ import annotations

from itertools import groupby, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdgat.configs.data import DataConfig
from kdgat.data.splits import (
    LEFT_OUT,
    TRAIN,
    VALIDATION,
    repeats_of_training,
    split_blocks,
)

CONFIGS = st.builds(
    DataConfig,
    window_messages=st.integers(4, 60),
    training_stride_messages=st.integers(1, 90),
    validation_fraction=st.floats(0.01, 0.9),
    validation_blocks=st.integers(1, 12),
    embargo_windows=st.integers(0, 4),
)
PLAIN = DataConfig(window_messages=100, training_stride_messages=100)


def runs(side: np.ndarray) -> list[tuple[int, int]]:
    """Each side in turn, and how many windows in a row it holds."""
    return [(key, len(list(group))) for key, group in groupby(side.tolist())]


def messages_of(side: np.ndarray, which: int, config: DataConfig) -> set[int]:
    """The messages that the windows of a side hold, as positions in the capture."""
    stride, window = config.training_stride_messages, config.window_messages
    starts = np.flatnonzero(side == which) * stride
    return {m for start in starts.tolist() for m in range(start, start + window)}


@settings(deadline=None)
@given(st.integers(0, 400), CONFIGS)
def test_no_message_is_in_a_training_and_a_validation_window(
    windows: int, config: DataConfig
) -> None:
    side = split_blocks(windows, config)
    assert len(side) == windows
    training = messages_of(side, TRAIN, config)
    assert training.isdisjoint(messages_of(side, VALIDATION, config))


@settings(deadline=None)
@given(st.integers(0, 400), CONFIGS)
def test_the_embargo_keeps_whole_windows_between_training_and_validation(
    windows: int, config: DataConfig
) -> None:
    side = split_blocks(windows, config)
    stride, window = config.training_stride_messages, config.window_messages
    found = runs(side)
    for (one, _), (other, _) in pairwise(found):
        assert {one, other} != {TRAIN, VALIDATION} or config.embargo_windows == 0
    between = [
        size
        for (one, _), (middle, size), (other, _) in zip(found, found[1:], found[2:], strict=False)
        if middle == LEFT_OUT and {one, other} == {TRAIN, VALIDATION}
    ]
    # From the first left out to the next kept window, so many whole windows fit.
    assert all(size * stride >= config.embargo_windows * window for size in between)


@settings(deadline=None)
@given(st.integers(0, 400), CONFIGS)
def test_validation_is_as_many_blocks_as_asked_for_at_most(
    windows: int, config: DataConfig
) -> None:
    blocks = [size for which, size in runs(split_blocks(windows, config)) if which == VALIDATION]
    assert len(blocks) <= config.validation_blocks
    assert not blocks or max(blocks) - min(blocks) <= 1


@settings(deadline=None)
@given(st.integers(1, 600), CONFIGS)
def test_validation_has_its_fraction_of_every_capture_that_is_long_enough(
    windows: int, config: DataConfig
) -> None:
    side = split_blocks(windows, config)
    # Each block is rounded to whole windows.
    assert abs((side == VALIDATION).sum() - config.validation_fraction * windows) <= (
        0.5 * config.validation_blocks + 1e-6
    )


def test_the_blocks_of_a_plain_capture_are_where_one_expects_them() -> None:
    config = PLAIN.model_copy(update={"validation_blocks": 2})
    assert runs(split_blocks(40, config)) == [
        (TRAIN, 7), (LEFT_OUT, 1), (VALIDATION, 4), (LEFT_OUT, 1), (TRAIN, 14),
        (LEFT_OUT, 1), (VALIDATION, 4), (LEFT_OUT, 1), (TRAIN, 7),
    ]  # fmt: skip


def test_a_stride_below_the_window_widens_the_embargo_to_what_overlaps() -> None:
    config = DataConfig(
        window_messages=100, training_stride_messages=25, validation_blocks=1, embargo_windows=0
    )
    assert runs(split_blocks(100, config)) == [
        (TRAIN, 37), (LEFT_OUT, 3), (VALIDATION, 20), (LEFT_OUT, 3), (TRAIN, 37),
    ]  # fmt: skip


@pytest.mark.parametrize("stride", [10, 25, 100])
def test_a_short_capture_keeps_most_of_its_windows_for_training(stride: int) -> None:
    config = DataConfig(training_stride_messages=stride)
    for windows in range(20 * 100 // stride, 2_000, 7):
        assert (split_blocks(windows, config) == TRAIN).mean() > 0.5


def test_an_embargo_longer_than_the_gap_takes_nothing_from_the_next_block() -> None:
    config = PLAIN.model_copy(update={"validation_blocks": 4, "embargo_windows": 30})
    side = split_blocks(100, config)
    assert [size for which, size in runs(side) if which == VALIDATION] == [5] * 4
    assert not (side == TRAIN).any()


@pytest.mark.parametrize("windows", [0, 1, 2])
def test_a_capture_of_a_window_or_two_is_all_for_training(windows: int) -> None:
    assert split_blocks(windows, PLAIN).tolist() == [TRAIN] * windows


@settings(deadline=None)
@given(st.integers(0, 200), CONFIGS)
def test_the_same_capture_is_split_the_same_way(windows: int, config: DataConfig) -> None:
    np.testing.assert_array_equal(split_blocks(windows, config), split_blocks(windows, config))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from([TRAIN, VALIDATION, LEFT_OUT]))))
def test_a_repeat_is_a_validation_window_that_training_holds_too(
    windows: list[tuple[int, int]],
) -> None:
    hashes = np.array([content for content, _ in windows], np.uint64)
    side = np.array([which for _, which in windows], np.int8)
    known = {content for content, which in windows if which == TRAIN}
    expected = [which == VALIDATION and content in known for content, which in windows]
    assert repeats_of_training(hashes, side).tolist() == expected
