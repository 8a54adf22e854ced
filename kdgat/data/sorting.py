"""Rows put together by an integer key."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64


def grouped(
    key: Int64[np.ndarray, "rows"],
) -> tuple[Int64[np.ndarray, "rows"], Int64[np.ndarray, "rows"]]:
    """Keys in order, and the rows they came from, which keep their order within a key.

    Key and row are packed into one integer and sorted at once: numpy sorts plain integers with
    vector instructions, faster than it finds an order (`argsort`), a stable one most of all.
    """
    row_bits = len(key).bit_length()
    packed = key << row_bits | np.arange(len(key))
    packed.sort()
    return packed >> row_bits, packed & ((1 << row_bits) - 1)
