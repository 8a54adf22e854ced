"""Means with their intervals: Student's t over a few values, a bootstrap over many groups.

Student's quantile is computed here and not by scipy, whose import alone takes longer than the
whole command that prints a leaderboard.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from statistics import NormalDist, fmean
from typing import Literal

LEVEL = 0.95
"""Confidence of every interval."""
_EXACT_UP_TO = 300
"""Degrees of freedom from which the normal quantile with two corrections is right to 1e-7."""
_FEWEST_TO_RESAMPLE = 8
"""Groups below which resampling them gives too short an interval."""
_RESAMPLES = 10_000

Method = Literal["none", "t", "bootstrap"]


@dataclass(frozen=True)
class Estimate:
    """A mean of `n` values and its 95 % interval; of one value there is no interval."""

    mean: float
    low: float | None
    high: float | None
    n: int
    method: Method

    def within(self, low: float | None, high: float | None) -> Estimate:
        """The same with its interval cut to the range that the figure can have."""
        if self.low is None or self.high is None:
            return self
        cut_low = self.low if low is None else max(self.low, low)
        cut_high = self.high if high is None else min(self.high, high)
        return replace(self, low=cut_low, high=cut_high)


def estimate(values: Sequence[float]) -> Estimate:
    """The mean of independent values with its t-interval.

    Raises:
        ValueError: there is no value.
    """
    if not values:
        raise ValueError("no value to average")
    mean, freedom = fmean(values), len(values) - 1
    square = math.fsum((value - mean) ** 2 for value in values)
    return from_moments(len(values), mean, math.sqrt(square / freedom) if freedom else None)


def from_moments(n: int, mean: float, spread: float | None) -> Estimate:
    """The t-interval of a mean of `n` values whose sample standard deviation is `spread`."""
    if n < 2 or spread is None:
        return Estimate(mean, None, None, n, "none")
    half = t_quantile(n - 1) * spread / math.sqrt(n)
    return Estimate(mean, mean - half, mean + half, n, "t")


def of_groups(groups: Sequence[Sequence[float]]) -> Estimate:
    """The mean over groups of related values, every group counting once.

    One group: t over its values. A few: t over the groups' means. Eight or more: the percentile
    interval of groups drawn with replacement, with a fixed seed.
    """
    if len(groups) == 1:
        return estimate(groups[0])
    means = [fmean(group) for group in groups]
    if len(means) < _FEWEST_TO_RESAMPLE:
        return estimate(means)
    return _bootstrap(means)


def _bootstrap(values: Sequence[float]) -> Estimate:
    import numpy as np

    drawn = np.random.default_rng(0).choice(np.asarray(values), (_RESAMPLES, len(values)))
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(drawn.mean(axis=1), [tail, 1 - tail])
    return Estimate(fmean(values), float(low), float(high), len(values), "bootstrap")


@cache
def t_quantile(freedom: int, level: float = LEVEL) -> float:
    """How many standard errors a two-sided interval of this level reaches to each side.

    Exact for whole degrees of freedom (Abramowitz and Stegun 26.7.3 and 26.7.4, bisected).
    """
    if freedom > _EXACT_UP_TO:
        z = NormalDist().inv_cdf((1 + level) / 2)
        first = (z**3 + z) / 4
        second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
        return z + first / freedom + second / freedom**2
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        below = _inside(middle, freedom) < level
        low, high = (middle, high) if below else (low, middle)
    return math.sqrt(freedom) * math.tan(low)


def _inside(angle: float, freedom: int) -> float:
    """P(|T| <= sqrt(freedom) * tan(angle)) of Student's distribution."""
    cosine, odd = math.cos(angle), freedom % 2 == 1
    if freedom == 1:
        return 2 * angle / math.pi
    term = cosine if odd else 1.0
    total = term
    for step in range(3 if odd else 2, freedom - 1, 2):
        term *= cosine**2 * (step - 1) / step
        total += term
    total *= math.sin(angle)
    return 2 / math.pi * (angle + total) if odd else total
