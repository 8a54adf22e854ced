"""Work that was begun and not brought to its end: trainings without a judgement, broken-off runs.

Any of n + 1 recipes is the best one with chance 1 / (n + 1), before anything is known of it. That
a broken-off run completes when it is tried again has the share of earlier retries that did.
"""

from __future__ import annotations

from collections.abc import Iterator

from kdgat.runs.gaps.facts import WaitingRow
from kdgat.runs.gaps.finding import Finding, Trial, succession
from kdgat.runs.gaps.seen import Seen
from kdgat.runs.gaps.standings import Standings


def unjudged(seen: Seen) -> Iterator[Finding]:
    """One finding a family with completed trainings that nobody evaluated."""
    for row in seen.facts.unjudged:
        n, family = _judged(seen.standings, row), row.family
        were = "were" if row.runs > 1 else "was"
        yield Finding(
            kind="not judged",
            claim=f"{_several(row)} of {family.name} ({family.provenance}) ended and {were} never "
            f"judged, {row.run_id} first; {n} of its recipes were",
            provenance=family.provenance,
            protocol="",
            runs=(row.run_id,),
            n=row.runs,
            figures={"not_judged": row.runs, "judged_recipes": n},
            trial=Trial(("evaluate", row.run_id)),
            cost=seen.costs.evaluation(family),
            chance=1 / (n + 1),
            because=f"it is as likely the best of {n} + 1 recipes as any",
        )


def broken(seen: Seen) -> Iterator[Finding]:
    """One finding a family with runs that broke off and were never tried again."""
    completes = succession(seen.facts.mended, seen.facts.retried)
    for row in seen.facts.broken:
        if not seen.trains(row.family.model):
            continue
        n, family = _judged(seen.standings, row), row.family
        told = f" ({' '.join(row.reason.split())[:80]})" if row.reason else ""
        yield Finding(
            kind="never retried",
            claim=f"{_several(row)} of {family.name} ({family.provenance}) broke off and nobody "
            f"tried again, the newest {row.run_id}, {row.state}{told}",
            provenance=family.provenance,
            protocol="",
            runs=(row.run_id,),
            n=row.runs,
            figures={"broken_off": row.runs, "judged_recipes": n},
            trial=Trial(("train",), row.run_id),
            cost=seen.costs.training(family),
            chance=completes / (n + 1),
            because=f"{seen.facts.mended} of {seen.facts.retried} retries completed, and it is as "
            f"likely the best of {n} + 1 recipes as any",
        )


def _several(row: WaitingRow) -> str:
    return f"{row.runs} trainings" if row.runs > 1 else "a training"


def _judged(standings: Standings, row: WaitingRow) -> int:
    """Recipes of the family that were judged, in the arena that has most."""
    return max(
        (
            sum(result.family == row.family for result in results)
            for results in standings.arenas.values()
        ),
        default=0,
    )
