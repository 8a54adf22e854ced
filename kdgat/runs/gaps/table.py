"""GAPS: every kind of gap, and all findings of some facts, ranked."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kdgat.runs.gaps import (
    asked,
    axes,
    cards,
    conflicts,
    first,
    rivals,
    seeds,
    settings,
    thresholds,
    unfinished,
)
from kdgat.runs.gaps.facts import Facts
from kdgat.runs.gaps.finding import Finding, ranked
from kdgat.runs.gaps.seen import Seen

Finder = Callable[[Seen], Iterable[Finding]]
GAPS: tuple[Finder, ...] = (
    first.find,
    axes.find,
    seeds.find,
    settings.dominated,
    settings.opposite,
    thresholds.collapsed,
    thresholds.one_vehicle,
    thresholds.one_protocol,
    asked.find,
    conflicts.find,
    rivals.baselines,
    rivals.unpromoted,
    rivals.teachers,
    cards.find,
    unfinished.unjudged,
    unfinished.broken,
)


def findings(facts: Facts) -> list[Finding]:
    """Everything that the facts lack, the most valuable first."""
    seen = Seen.of(facts)
    return ranked(each for finder in GAPS for each in finder(seen))
