"""Trainings of one and the same experiment, seed included, whose figures differ beyond noise.

One of the two is the odd one, and nobody knows which: the chance is 1/2.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from kdgat.runs.gaps.costs import Costs
from kdgat.runs.gaps.facts import Judged
from kdgat.runs.gaps.finding import EVEN, SHOWN_RUNS, Finding, Trial
from kdgat.runs.gaps.seen import Seen
from kdgat.runs.gaps.standings import Noise

BEYOND = 2.0
"""Standard deviations from seed to seed that runs of one seed may not differ by."""


def find(seen: Seen) -> Iterator[Finding]:
    """One finding an experiment, of its lowest and highest figure."""
    groups: dict[tuple[Any, ...], list[Judged]] = defaultdict(list)
    for row in seen.facts.judged:
        if row.score is not None and seen.trains(row.family.model):
            groups[row.arena, row.digest, row.recipe, row.seed, row.graphs].append(row)
    for rows in groups.values():
        if len(rows) > 1:
            noise = seen.standings.noise(rows[0].arena)
            ordered = sorted(rows, key=lambda row: (row.score or 0.0, row.run_id))
            apart = (ordered[-1].score or 0.0) - (ordered[0].score or 0.0)
            if apart > BEYOND * noise.spread:
                yield _finding(ordered, apart, noise, seen.costs)


def _finding(rows: list[Judged], apart: float, noise: Noise, costs: Costs) -> Finding:
    low, high = rows[0], rows[-1]
    newest = max(rows, key=lambda row: row.run_id)
    assert low.score is not None
    assert high.score is not None
    return Finding(
        kind="contradiction",
        claim=f"{len(rows)} runs of one experiment (digest {low.digest}, {low.family.name}, "
        f"{low.family.provenance}, seed {low.seed}) contradict each other: F1 {low.score:.4f} "
        f"and {high.score:.4f}",
        provenance=low.family.provenance,
        protocol=low.arena.protocol,
        runs=tuple(dict.fromkeys((low.run_id, high.run_id, *(row.run_id for row in rows))))[
            :SHOWN_RUNS
        ],
        n=len(rows),
        figures={"lowest": low.score, "highest": high.score, "apart": apart, "noise": noise.spread},
        trial=Trial(("replay", newest.run_id)),
        cost=costs.training(low.family),
        chance=EVEN,
        because=f"either may be the odd one; {noise.words}",
    )
