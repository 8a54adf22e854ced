"""Mean and standard deviation of columns that are read a block of rows at a time.

Every sum is added up in one order that no cut into blocks changes, so the same rows give the same
bits however much memory there is: down the rows, or by pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float32, Float64

Blocks = Callable[[], Iterator[Float32[np.ndarray, "rows features"]]]
"""Gives the same rows in the same order at every call, cut into blocks."""
Moments = tuple[Float64[np.ndarray, "features"], Float64[np.ndarray, "features"]]
_RUN = 8_192
"""Rows that are added by pairs before they are added to those before them."""
_LEAF = 65_536
"""Rows from which on the halves of a sum by pairs are read one after the other."""
_NO_ROWS = np.zeros((0, 0))


def moments_by_row(blocks: Blocks) -> Moments:
    """Mean and standard deviation of each column, summed down the rows."""
    rows, total = _sum_by_row(block.astype(np.float64) for block in blocks())
    mean = total / rows
    _, squares = _sum_by_row(np.square(block - mean) for block in blocks())
    return mean, np.sqrt(squares / rows)


def moments_by_pairs(blocks: Blocks) -> Moments | None:
    """The same summed by pairs: runs of rows for the mean, halves of halves for the deviation.

    None where there is no row.
    """
    source, total, rows = _Rows(blocks()), np.zeros(0), 0
    while len(run := source.take(_RUN)):
        total = total + run.sum(axis=0) if rows else run.sum(axis=0)
        rows += len(run)
    if not rows:
        return None
    mean = total / rows
    squares = _sum_by_pairs(_Rows(np.square(block - mean) for block in blocks()), rows)
    return mean, np.sqrt(squares / rows)


def _sum_by_row(
    blocks: Iterator[Float64[np.ndarray, "rows features"]],
) -> tuple[int, Float64[np.ndarray, "features"]]:
    rows, total = 0, np.zeros(0)
    for block in blocks:
        below = np.concatenate((total[None], block)) if rows else block
        # Each row lies together, so numpy adds them in turn.
        total = np.add.reduce(np.ascontiguousarray(below), axis=0)
        rows += len(block)
    return rows, total


def _sum_by_pairs(source: _Rows, rows: int) -> Float64[np.ndarray, "features"]:
    """The sum that numpy makes by pairs of a column in memory, without having it there."""
    if rows <= _LEAF:
        return source.take(rows).sum(axis=0)
    half = rows // 2 - rows // 2 % 8
    return _sum_by_pairs(source, half) + _sum_by_pairs(source, rows - half)


class _Rows:
    """Blocks cut anew, into as many rows as one asks for; each column lies together."""

    def __init__(self, blocks: Iterator[Float64[np.ndarray, "rows features"]]) -> None:
        self._blocks = (block for block in blocks if len(block))
        self._left: Float64[np.ndarray, "rows features"] | None = None

    def take(self, rows: int) -> Float64[np.ndarray, "rows features"]:
        """The next rows, fewer at the end."""
        parts, missing = [], rows
        while missing and (block := self._next()) is not None:
            parts.append(block[:missing])
            self._left = block[missing:] if len(block) > missing else None
            missing -= len(parts[-1])
        return np.asfortranarray(np.concatenate(parts), dtype=np.float64) if parts else _NO_ROWS

    def _next(self) -> Float64[np.ndarray, "rows features"] | None:
        return next(self._blocks, None) if self._left is None else self._left
