"""What a trial costs: the median duration of runs like it, the nearest likeness that there is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence

from kdgat.runs.gaps.facts import DurationRow, Family
from kdgat.runs.gaps.finding import Cost

_LIKENESS: tuple[Callable[[Family], Hashable], ...] = (
    lambda family: family,
    lambda family: (family.provenance, family.model, family.size),
    lambda family: (family.provenance, family.model),
)
"""Nearest first. Simulated captures are shorter than real ones, so the provenance always counts."""


class Costs:
    """Durations of completed work, by family."""

    def __init__(self, rows: Iterable[DurationRow]) -> None:
        self._found: dict[Hashable, list[DurationRow]] = defaultdict(list)
        for row in rows:
            for level, likeness in enumerate(_LIKENESS):
                self._found[row.evaluation, level, likeness(row.family)].append(row)

    def training(self, family: Family, count: int = 1) -> Cost:
        """Of so many trainings, each with its evaluation."""
        training, evaluation = self._like(family, False), self._like(family, True)
        if training.hours is None:
            return training
        hours = count * (training.hours + (evaluation.hours or 0.0))
        return Cost(hours, training.on_gpu, training.like)

    def evaluation(self, family: Family) -> Cost:
        """Of one evaluation."""
        return self._like(family, True)

    def _like(self, family: Family, evaluation: bool) -> Cost:
        for level, likeness in enumerate(_LIKENESS):
            rows = self._found.get((evaluation, level, likeness(family)))
            if rows:
                return _middle(rows)
        return Cost(None)


def _middle(rows: Sequence[DurationRow]) -> Cost:
    """Of several families, the mean of their medians by their runs."""
    runs = sum(row.runs for row in rows)
    seconds = sum(row.median_s * row.runs for row in rows) / runs
    return Cost(seconds / 3600, any(row.on_gpu for row in rows), runs)
