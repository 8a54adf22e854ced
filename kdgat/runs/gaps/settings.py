"""Settings that were beaten and are still in use, and those whose effect changes its sign.

Two values of a field are compared in runs that differ in nothing else, seed by seed. A difference
counts when its t-interval leaves zero out at 95 % for all compared pairs of values together
(Bonferroni), so that of many comparisons none stands out by chance alone.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

from kdgat.runs.effect import same_value
from kdgat.runs.gaps.costs import Costs
from kdgat.runs.gaps.facts import EffectRow, Family, UseRow
from kdgat.runs.gaps.finding import EVEN, SHOWN_RUNS, Finding, Trial
from kdgat.runs.gaps.seen import Seen
from kdgat.runs.statistics import LEVEL, t_quantile

FEWEST_PAIRS = 3
STILL_IN_USE = 3
"""Newest trainings, made after the comparison, that must have a beaten value."""


def moved(row: EffectRow) -> bool:
    """Whether the two values truly differ."""
    if row.pairs < FEWEST_PAIRS:
        return False
    level = 1 - (1 - LEVEL) / max(1, row.compared)
    error = row.spread / math.sqrt(row.pairs)
    return abs(row.mean) > t_quantile(row.pairs - 1, level) * error + 1e-9


def dominated(seen: Seen) -> Iterator[Finding]:
    """Values that cost no less and are worse than another, in the newest trainings all the same."""
    used: dict[tuple[Family, str], list[UseRow]] = defaultdict(list)
    for row in seen.facts.in_use:
        used[row.family, row.field].append(row)
    found: dict[tuple[Family, str, str], Finding] = {}
    for row in sorted(seen.facts.effects, key=lambda each: -abs(each.mean)):
        worse, better = (row.one, row.two) if row.mean > 0 else (row.two, row.one)
        cheaper = (row.parameters if row.mean > 0 else -row.parameters) <= 0
        later = [
            each
            for each in used[row.family, row.field]
            if each.created_at > row.since and same_value(each.value, worse)
        ]
        key = row.family, row.field, worse
        trainable = seen.trains(row.family.model)
        if len(later) < STILL_IN_USE or not (moved(row) and cheaper and trainable) or key in found:
            continue
        # Where nobody tried the better value in the recipe in use, that is what to try.
        found[key] = _dominated(row, better, worse, later, seen.costs)
    yield from found.values()


def _dominated(
    row: EffectRow, better: str, worse: str, later: Sequence[UseRow], costs: Costs
) -> Finding:
    newest = max(later, key=lambda each: each.run_id)
    return Finding(
        kind="dominated setting",
        claim=f"{row.field}={worse} is still in {len(later)} of the newest trainings of "
        f"{row.family.name} ({row.family.provenance}), though {row.field}={better} is better by "
        f"{abs(row.mean):.4f} F1 in {row.pairs} pairs of runs alike in all else, at no more "
        "parameters",
        provenance=row.family.provenance,
        protocol=row.arena.protocol,
        runs=(newest.run_id, *row.runs_one[:2], *row.runs_two[:2]),
        n=2 * row.pairs + len(later),
        figures={
            "difference": abs(row.mean), "spread": row.spread, "pairs": row.pairs,
            "still_in_use": len(later),
        },
        trial=Trial(("train",), newest.run_id, {row.field: (better,)}),
        cost=costs.training(row.family),
        chance=LEVEL,
        because=f"the difference holds at 95 % among {row.compared} compared pairs of values",
    )  # fmt: skip


def opposite(seen: Seen) -> Iterator[Finding]:
    """Two values of a field of which one is better on one dataset and the other on another."""
    groups: dict[tuple[object, ...], list[EffectRow]] = defaultdict(list)
    for row in filter(moved, seen.facts.effects):
        family, arena = row.family, row.arena
        kind = (family.provenance, family.model, family.size, family.distilled, arena.protocol)
        groups[(*kind, row.field, row.one, row.two)].append(row)
    for rows in groups.values():
        up = max(rows, key=lambda row: row.mean)
        down = min(rows, key=lambda row: row.mean)
        if up.mean > 0 > down.mean and up.family.dataset != down.family.dataset:
            finding = _opposite(seen, up, down)
            if finding:
                yield finding


def _opposite(seen: Seen, up: EffectRow, down: EffectRow) -> Finding | None:
    """Settled by a third dataset where there is one, else by more seeds where pairs are fewer."""
    if not seen.trains(up.family.model):
        return None
    tried = {
        row.family.dataset
        for row in seen.facts.effects
        if (row.field, row.one, row.two) == (up.field, up.one, up.two)
        and row.family._replace(dataset="") == up.family._replace(dataset="")
    }
    thirds = [
        result
        for arena in seen.standings.arenas
        for family, result in seen.standings.leaders(arena).items()
        if family.dataset not in tried
        and family._replace(dataset="") == up.family._replace(dataset="")
    ]
    fewer = min(up, down, key=lambda row: row.pairs)
    result = thirds[0] if thirds else seen.standings.best(fewer.family)
    if result is None:
        return None
    trial = Trial(
        ("train",), result.best.run_id,
        {up.field: (up.one, up.two), "seed": (str(result.best.seed),) if thirds
         else result.more_seeds(2)},
    )  # fmt: skip
    where = f"{result.family.dataset}, a third dataset" if thirds else result.family.dataset
    return Finding(
        kind="opposite effects",
        claim=f"{up.field}={up.two} instead of {up.one} helps {up.family.name} by {up.mean:.4f} "
        f"F1 and harms {down.family.name} by {-down.mean:.4f} ({up.family.provenance} data); "
        f"to be settled on {where}",
        provenance=up.family.provenance,
        protocol=up.arena.protocol,
        runs=(*up.runs_two[:2], *up.runs_one[:1], *down.runs_two[:2], *down.runs_one[:1])[
            :SHOWN_RUNS
        ],
        n=2 * (up.pairs + down.pairs),
        figures={
            "helps_by": up.mean, "harms_by": -down.mean, "pairs_up": up.pairs,
            "pairs_down": down.pairs,
        },
        trial=trial,
        cost=seen.costs.training(result.family, trial.count),
        chance=EVEN,
        because="two datasets say two things, so the next one says either",
    )  # fmt: skip
