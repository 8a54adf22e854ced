"""Judged runs as recipes ranked within their arenas, and how sure a difference of two is.

As on the leaderboard a recipe is all that a run was trained with but its seed; of one seed the
newest run counts. Noise is the standard deviation from seed to seed, pooled over the recipes of an
arena that have several seeds; of few such runs, over those of the provenance and protocol.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from statistics import NormalDist, fmean

from kdgat.runs.gaps.facts import Arena, Family, Judged

ASSUMED_NOISE = 0.01
"""Standard deviation of F1 from seed to seed, where nothing was repeated."""
_FEWEST = 3
"""Degrees of freedom that a pooled deviation needs."""
_LEAST = 1e-6
"""Noise below which two figures are as good as equal."""
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Result:
    """One recipe in one arena."""

    rows: tuple[Judged, ...]
    """One a seed, best first."""
    mean: float

    @property
    def arena(self) -> Arena:
        """Where it compares."""
        return self.rows[0].arena

    @property
    def family(self) -> Family:
        """Its dataset, model, size and distillation."""
        return self.rows[0].family

    @property
    def best(self) -> Judged:
        """The run with the best seed."""
        return self.rows[0]

    @property
    def n(self) -> int:
        """Seeds."""
        return len(self.rows)

    @property
    def runs(self) -> tuple[str, ...]:
        """Its runs, best first."""
        return tuple(row.run_id for row in self.rows)

    def more_seeds(self, count: int) -> tuple[str, ...]:
        """The smallest seeds that it was not trained with."""
        had = {row.seed for row in self.rows}
        free = (seed for seed in range(len(had) + count) if seed not in had)
        return tuple(str(seed) for seed, _ in zip(free, range(count), strict=False))


@dataclass(frozen=True)
class Noise:
    """Standard deviation of the figure from seed to seed."""

    spread: float
    freedom: int
    """Degrees of freedom; 0 where it is assumed."""

    @property
    def words(self) -> str:
        """Where it is from."""
        if self.freedom:
            return f"seeds differ by {self.spread:.4f} ({self.freedom} degrees of freedom)"
        return f"seeds are assumed to differ by {self.spread:.4f}, none was repeated"

    def above(self, one: Result, two: Result) -> float:
        """The chance that `one` is truly better than `two`, by the normal distribution."""
        error = self.spread * math.sqrt(1 / one.n + 1 / two.n)
        return _NORMAL.cdf((one.mean - two.mean) / error)

    def off_by(self, difference: float) -> float:
        """The chance that one seed's figure is farther than this from its recipe's mean."""
        return 2 * _NORMAL.cdf(-difference / self.spread)


class Standings:
    """Every arena's recipes, best first."""

    def __init__(self, judged: Iterable[Judged]) -> None:
        self.arenas: dict[Arena, list[Result]] = {}
        self._noises: dict[Arena, Noise] = {}
        by_arena: dict[Arena, list[Judged]] = defaultdict(list)
        for row in judged:
            if row.score is not None:
                by_arena[row.arena].append(row)
        for arena in sorted(by_arena):
            results = _results(by_arena[arena])
            self.arenas[arena] = sorted(results, key=lambda each: (-each.mean, -each.n, each.runs))

    def leaders(self, arena: Arena) -> dict[Family, Result]:
        """The best recipe of each family, best first."""
        found: dict[Family, Result] = {}
        for result in self.arenas[arena]:
            found.setdefault(result.family, result)
        return found

    def best(self, family: Family) -> Result | None:
        """The family's best recipe, in the arena in which most of its recipes were judged."""
        most = max(
            (
                (len(own), arena)
                for arena, results in self.arenas.items()
                if (own := [each for each in results if each.family == family])
            ),
            default=None,
        )
        return None if most is None else self.leaders(most[1])[family]

    def noise(self, arena: Arena) -> Noise:
        """The noise of an arena's figures."""
        if arena not in self._noises:
            self._noises[arena] = self._noise(arena)
        return self._noises[arena]

    def _noise(self, arena: Arena) -> Noise:
        own = _pooled(self.arenas[arena])
        if own.freedom >= _FEWEST:
            return own
        wider = self._wider[arena.provenance, arena.protocol]
        return wider if wider.freedom >= _FEWEST else Noise(ASSUMED_NOISE, 0)

    @cached_property
    def _wider(self) -> dict[tuple[str, str], Noise]:
        groups: dict[tuple[str, str], list[Result]] = defaultdict(list)
        for arena, results in self.arenas.items():
            groups[arena.provenance, arena.protocol] += results
        return {key: _pooled(results) for key, results in groups.items()}


def _results(rows: Iterable[Judged]) -> list[Result]:
    """One result a recipe; of a seed the newest run counts."""
    newest: dict[tuple[Family, int, int], Judged] = {}
    for row in sorted(rows, key=lambda each: each.run_id):
        newest[row.family, row.recipe, row.seed] = row
    found = []
    ordered = sorted(newest.values(), key=_best_first)
    for _, group in groupby(ordered, key=lambda row: (row.family, row.recipe)):
        best_first = tuple(group)
        found.append(Result(best_first, fmean(_score(row) for row in best_first)))
    return found


def _best_first(row: Judged) -> tuple[Family, int, float, str]:
    return row.family, row.recipe, -_score(row), row.run_id


def _score(row: Judged) -> float:
    assert row.score is not None
    return row.score


def _pooled(results: Sequence[Result]) -> Noise:
    freedom = sum(each.n - 1 for each in results)
    if not freedom:
        return Noise(ASSUMED_NOISE, 0)
    squares = sum((_score(row) - each.mean) ** 2 for each in results for row in each.rows)
    return Noise(max(math.sqrt(squares / freedom), _LEAST), freedom)
