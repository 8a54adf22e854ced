"""Numbers to the bytes of a message, in equal steps of a range.

The range of a column is that of benign training rows, with a quarter of it added on either side, or
one that `dataset.toml` gives. The lowest code stands for anything below, the highest for anything
above, so that a value out of the ordinary sets bits as benign traffic never did. Test rows, labels
of test rows and attacks have no part in a range.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Bool, Float64, UInt64

from kdgat.configs.table import PAYLOAD_BYTES, EncodingConfig

Ranges = Mapping[str, tuple[float, float]]
MARGIN = 0.25
"""Share of a range that is added on either side: a value a little beyond it is not yet the end."""


def scaled(
    values: Float64[np.ndarray, "rows"], column: str, encoding: EncodingConfig
) -> Float64[np.ndarray, "rows"]:
    """The values that have the equal steps: themselves, or a logarithm that keeps the sign."""
    if column not in encoding.log:
        return values
    return np.sign(values) * np.log1p(np.abs(values))


def widest(
    parts: Iterable[Mapping[str, tuple[float, float]]], columns: Iterable[str]
) -> dict[str, tuple[float, float]]:
    """The range over several captures; a column that none has a value of is left out."""
    found: dict[str, tuple[float, float]] = {}
    for part in parts:
        for column in columns:
            if column in part:
                low, high = found.get(column, part[column])
                found[column] = (min(low, part[column][0]), max(high, part[column][1]))
    return found


def ranges_of(columns: Mapping[str, np.ndarray], encoding: EncodingConfig) -> Ranges:
    """Lowest and highest finite value of each column, scaled."""
    found = {}
    for name, values in columns.items():
        finite = values[np.isfinite(values)]
        if len(finite):
            steps = scaled(finite, name, encoding)
            found[name] = (float(steps.min()), float(steps.max()))
    return found


def with_margin(ranges: Ranges, encoding: EncodingConfig) -> dict[str, tuple[float, float]]:
    """Learnt ranges with their margin, and the given ones as they are."""
    found = {}
    for name, (low, high) in ranges.items():
        room = (high - low) * MARGIN
        found[name] = (low - room, high + room)
    for name, given in encoding.ranges.items():
        low, high = scaled(np.array(given, dtype=np.float64), name, encoding).tolist()
        found[name] = (low, high)
    return found


def codes(
    values: Float64[np.ndarray, "rows"], bounds: tuple[float, float], size: int
) -> UInt64[np.ndarray, "rows"]:
    """Values as whole numbers of `size` bytes; one that is missing (NaN) is 0, as is one below."""
    low, high = bounds
    top = (1 << 8 * size) - 1
    span = high - low if high > low else 1.0
    with np.errstate(invalid="ignore", over="ignore"):
        step = 1 + np.round((values - low) / span * (top - 2))
        step = np.where(values < low, 0, np.where(values > high, top, step))
    return np.nan_to_num(np.clip(step, 0, top), nan=0.0).astype(np.uint64)


def packed(columns: list[UInt64[np.ndarray, "rows"]], size: int) -> UInt64[np.ndarray, "rows"]:
    """Codes of `size` bytes one after the other, the first in the top bits of the payload."""
    payload = np.zeros(len(columns[0]), dtype=np.uint64)
    for place, column in enumerate(columns):
        payload |= column << np.uint64(8 * (PAYLOAD_BYTES - size * (place + 1)))
    return payload


def missing(columns: Iterable[Float64[np.ndarray, "rows"]]) -> Bool[np.ndarray, "rows"]:
    """Rows that lack a value."""
    return np.asarray(np.isnan(np.stack(list(columns))).any(axis=0))
