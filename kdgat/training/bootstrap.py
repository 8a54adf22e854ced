"""Intervals of figures by drawing blocks of consecutive windows again, and bounds without errors.

Neighbouring windows resemble each other, so whole blocks of one capture are drawn. What a block
adds to a figure is known beforehand, its four counts and where its scores lie, so that a thousand
samples are products of two matrices and no window is touched again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Int64, Shaped

CountFigure = Literal["f1", "precision", "recall", "specificity", "accuracy", "mcc"]
"""Figures that the four counts tell."""
FEWEST_BLOCKS = 8
"""Blocks below which drawing them gives too short an interval."""
_DRAWN_AT_ONCE = 4_000_000
"""Numbers in one matrix of samples, so that memory stays small however many blocks there are."""
_LEVELS = 1024
"""Score levels that AUROC is drawn with at most; neighbouring ones are taken together beyond."""


def block_starts(
    capture: Shaped[np.ndarray, "windows"], block_windows: int
) -> Int64[np.ndarray, "blocks"]:
    """Where each block of consecutive windows of one capture begins; a capture's last is shorter.

    Args:
        capture: which capture each window is of, windows in their captures' order.
        block_windows: windows in a block.
    """
    starts = np.flatnonzero(np.concatenate(([True], capture[1:] != capture[:-1])))
    lengths = np.diff(np.append(starts, len(capture)))
    firsts = [
        np.arange(start, start + length, block_windows)
        for start, length in zip(starts, lengths, strict=True)
    ]
    return np.concatenate(firsts).astype(np.int64)


def outcome_counts(
    alarm: Bool[np.ndarray, "windows"],
    attack: Bool[np.ndarray, "windows"],
    starts: Int64[np.ndarray, "blocks"],
) -> Int64[np.ndarray, "blocks 4"]:
    """True positives, false positives, false negatives and true negatives of each block."""
    kinds = np.stack((alarm & attack, alarm & ~attack, ~alarm & attack, ~alarm & ~attack), axis=1)
    return np.add.reduceat(kinds.astype(np.int64), starts, axis=0)


def figure(
    name: CountFigure, counts: Shaped[np.ndarray, "samples 4"]
) -> Float64[np.ndarray, "samples"]:
    """A figure from counts in `outcome_counts`'s order; NaN where it has no meaning."""
    hits, false, missed, quiet = np.asarray(counts, dtype=float).T
    with np.errstate(divide="ignore", invalid="ignore"):
        match name:
            case "f1":
                return 2 * hits / (2 * hits + false + missed)
            case "precision":
                return hits / (hits + false)
            case "recall":
                return hits / (hits + missed)
            case "specificity":
                return quiet / (quiet + false)
            case "accuracy":
                return (hits + quiet) / (hits + quiet + false + missed)
            case "mcc":
                product = (hits + false) * (hits + missed) * (quiet + false) * (quiet + missed)
                return (hits * quiet - false * missed) / np.sqrt(product)


def drawn(
    rng: np.random.Generator, blocks: int, resamples: int
) -> Iterator[Float[np.ndarray, "samples blocks"]]:
    """How often each block is in a sample of as many blocks, some samples at a time."""
    at_once = max(1, _DRAWN_AT_ONCE // blocks)
    for first in range(0, resamples, at_once):
        samples = min(at_once, resamples - first)
        chosen = rng.integers(0, blocks, (samples, blocks))
        chosen += np.arange(samples)[:, None] * blocks
        times = np.bincount(chosen.ravel(), minlength=samples * blocks)
        yield times.reshape(samples, blocks).astype(np.float32)


def percentiles(
    values: Float[np.ndarray, "samples"], confidence: float
) -> tuple[float, float] | None:
    """The middle of the samples in which a figure has a meaning; None where it never has."""
    known = values[~np.isnan(values)]
    if len(known) == 0:
        return None
    tail = (1 - confidence) / 2
    low, high = np.quantile(known, (tail, 1 - tail))
    return float(low), float(high)


def unseen_errors(counts: Int[np.ndarray, "4"], confidence: float) -> Float64[np.ndarray, "4"]:
    """The counts as they could have been where no error of a kind was seen.

    Samples of windows without an error hold none either. The exact binomial bound for none of `n`
    windows (Clopper and Pearson 1934) says how many there could have been: about 3.7 at 95 %.
    """
    hits, false, missed, quiet = (float(count) for count in counts)
    tail = (1 - confidence) / 2
    if missed == 0 and hits > 0:
        missed = hits * (1 - tail ** (1 / hits))
        hits -= missed
    if false == 0 and quiet > 0:
        false = quiet * (1 - tail ** (1 / quiet))
        quiet -= false
    return np.array([hits, false, missed, quiet])


def ranking(
    score: Float64[np.ndarray, "windows"],
    attack: Bool[np.ndarray, "windows"],
    starts: Int64[np.ndarray, "blocks"],
) -> Callable[[Float[np.ndarray, "samples blocks"]], Float64[np.ndarray, "samples"]]:
    """AUROC of samples of blocks; NaN where a sample has windows of one class alone.

    Only the order of attack and benign windows among each other counts, so neighbours of one class
    in the order of scores are one level, which loses nothing.
    """
    level = _levels(score, attack)
    levels, blocks = int(level.max()) + 1, len(starts)
    block = np.repeat(np.arange(blocks), np.diff(np.append(starts, len(score))))
    place = block * levels + level
    sides = [
        np.bincount(place[chosen], minlength=blocks * levels)
        .reshape(blocks, levels)
        .astype(np.float32)
        for chosen in (attack, ~attack)
    ]

    def auroc(weights: Float[np.ndarray, "samples blocks"]) -> Float64[np.ndarray, "samples"]:
        positive, negative = ((weights @ side).astype(np.float64) for side in sides)
        below = np.cumsum(negative, axis=1) - negative / 2
        pairs = positive.sum(axis=1) * negative.sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(pairs > 0, (positive * below).sum(axis=1) / pairs, np.nan)

    return auroc


def _levels(
    score: Float64[np.ndarray, "windows"], attack: Bool[np.ndarray, "windows"]
) -> Int64[np.ndarray, "windows"]:
    """For each window the rank of its level: equal scores, or neighbours all of one class."""
    order = np.argsort(score, kind="stable")
    value, kind = score[order], attack[order]
    new = np.concatenate(([True], value[1:] != value[:-1]))
    tie = np.cumsum(new) - 1
    attacks = np.bincount(tie, weights=kind)
    share = attacks / np.bincount(tie)
    # A tie of both classes stands alone; ties of one class join where their neighbour is of it too.
    apart = np.concatenate(([True], (share[1:] != share[:-1]) | ~np.isin(share[1:], (0.0, 1.0))))
    level = (np.cumsum(apart) - 1)[tie]
    count = int(level[-1]) + 1
    if count > _LEVELS:
        level = level * _LEVELS // count
    ranks = np.empty(len(score), dtype=np.int64)
    ranks[order] = level
    return ranks
