"""Training and validation windows that do not know each other.

Neighbouring windows of a periodic bus look alike, so a random split puts near copies on both sides.
Here validation is contiguous blocks of each capture, with an embargo around them, and a window
whose content occurs in training is left out of validation.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Int8, UInt64

from kdgat.configs.data import DataConfig

TRAIN, VALIDATION, LEFT_OUT = 0, 1, -1
_WINDOWS_PER_BLOCK = 10
"""Fewest windows a block is cut from; a shorter capture has fewer blocks."""


def split_blocks(windows: int, config: DataConfig) -> Int8[np.ndarray, "windows"]:
    """The side of each window of one capture: TRAIN, VALIDATION, or LEFT_OUT as embargo.

    The capture is cut into equal segments, and the middle of each is a validation block. The
    embargo counts windows that share no message: with a stride below the window it covers more
    starts, and never fewer than those that overlap.
    """
    overlap = math.ceil(config.window_messages / config.training_stride_messages)
    embargo = max(config.embargo_windows * overlap, overlap - 1)
    blocks = max(1, min(config.validation_blocks, windows // _WINDOWS_PER_BLOCK))
    bounds = np.linspace(0, windows, blocks + 1).astype(int)
    side = np.full(windows, TRAIN, dtype=np.int8)
    for first, last in pairwise(bounds.tolist()):
        size = round((last - first) * config.validation_fraction)
        start = first + (last - first - size) // 2
        if size > 0:
            side[max(0, start - embargo) : start + size + embargo] = LEFT_OUT
            side[start : start + size] = VALIDATION
    return side


def repeats_of_training(
    hashes: UInt64[np.ndarray, "windows"], side: Int8[np.ndarray, "windows"]
) -> Bool[np.ndarray, "windows"]:
    """Validation windows whose content also occurs in a training window, of any capture."""
    return (side == VALIDATION) & np.isin(hashes, hashes[side == TRAIN])
