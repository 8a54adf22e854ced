"""Training and validation windows that do not know each other.

Neighbouring windows of a periodic bus look alike, so a random split puts near copies on both sides.
Here validation is contiguous blocks of each capture, with an embargo around them, and a window
whose content is that of a training window is left out of validation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Int8, UInt64

from kdgat.configs.data import DataConfig

TRAIN, VALIDATION, LEFT_OUT = 0, 1, -1
_WINDOWS_PER_BLOCK = 10
"""Fewest windows, counted without their overlap, a block is cut from; a shorter capture has fewer
blocks."""


@dataclass(frozen=True)
class CaptureSplit:
    """Where one training capture's windows went."""

    key: str
    train: int
    validation: int
    train_attacks: int
    validation_attacks: int
    embargoed: int
    repeats: int
    """Windows left out of validation because their content occurs in training."""
    tail_messages: int
    """Messages after the last whole window, in no graph."""


def split_blocks(windows: int, config: DataConfig) -> Int8[np.ndarray, "windows"]:
    """The side of each window of one capture: TRAIN, VALIDATION, or LEFT_OUT as embargo.

    The capture is cut into equal segments, and the middle of each is a validation block. The
    embargo counts windows that share no message: with a stride below the window it covers more
    starts, and never fewer than those that overlap.
    """
    overlap = math.ceil(config.window_messages / config.training_stride_messages)
    embargo = max(config.embargo_windows * overlap, overlap - 1)
    blocks = max(1, min(config.validation_blocks, windows // (_WINDOWS_PER_BLOCK * overlap)))
    bounds = np.linspace(0, windows, blocks + 1).astype(int)
    side = np.full(windows, TRAIN, dtype=np.int8)
    spans = [_middle(first, last, config) for first, last in pairwise(bounds.tolist())]
    spans = [(start, end) for start, end in spans if start < end]
    for start, end in spans:
        side[max(0, start - embargo) : end + embargo] = LEFT_OUT
    # Last, because a long embargo reaches into the block beside it.
    for start, end in spans:
        side[start:end] = VALIDATION
    return side


def _middle(first: int, last: int, config: DataConfig) -> tuple[int, int]:
    """The validation block of the windows `first` to `last`, the last left out."""
    size = round((last - first) * config.validation_fraction)
    start = first + (last - first - size) // 2
    return start, start + size


def repeats_of_training(
    hashes: UInt64[np.ndarray, "windows"], side: Int8[np.ndarray, "windows"]
) -> Bool[np.ndarray, "windows"]:
    """Validation windows whose content also occurs in a training window, of any capture."""
    return (side == VALIDATION) & np.isin(hashes, hashes[side == TRAIN])
