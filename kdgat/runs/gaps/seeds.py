"""Best results that rest on one seed.

The chance is that an order is wrong: that the next recipe of the kind is truly ahead of it, or that
it is truly ahead of the leader (for the leader: the next kind of it); by the noise from seed to
seed. A result without a rival may be off by more than `TOLERANCE`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kdgat.runs.gaps.costs import Costs
from kdgat.runs.gaps.finding import Finding, Trial
from kdgat.runs.gaps.seen import Seen
from kdgat.runs.gaps.standings import Noise, Result
from kdgat.runs.statistics import t_quantile

TOLERANCE = 0.01
"""Difference of F1 that would matter by itself."""
MORE = 2
"""Seeds to add: three give an interval that says something."""


def find(seen: Seen) -> Iterator[Finding]:
    """Of every arena the best recipes of each kind of model, where they have one seed."""
    for arena, results in seen.standings.arenas.items():
        noise = seen.standings.noise(arena)
        leaders = list(seen.standings.leaders(arena).values())
        for place, result in enumerate(leaders):
            if result.n == 1 and seen.trains(result.family.model):
                own = [each for each in results if each.family == result.family]
                others = leaders[:1] if place else leaders[1:2]
                yield _finding(
                    result, _rival(result, [*own[1:2], *others], noise), noise, seen.costs
                )


def _rival(result: Result, others: Sequence[Result], noise: Noise) -> Result | None:
    """The one whose place against the result is least sure."""
    return min(others, key=lambda each: abs(noise.above(each, result) - 0.5), default=None)


def _finding(result: Result, rival: Result | None, noise: Noise, costs: Costs) -> Finding:
    family = result.family
    if rival is None:
        chance = noise.off_by(TOLERANCE)
        against, because = "has no rival", f"off by over {TOLERANCE}: {noise.words}"
    else:
        lower, higher = sorted((result, rival), key=lambda each: each.mean)
        chance = noise.above(lower, higher)
        place = "is ahead of" if result is higher else "is behind"
        against = f"{place} {_named(rival, result)} ({rival.mean:.4f}, {rival.n} seeds)"
        because = f"the order is the other way round: {noise.words}"
    half = t_quantile(MORE) * noise.spread / (1 + MORE) ** 0.5
    return Finding(
        kind="one seed",
        claim=f"F1 {result.mean:.4f} of {family.name} ({family.provenance}, "
        f"{result.arena.protocol}) rests on seed {result.best.seed} alone and {against}; "
        f"{1 + MORE} seeds would tell it to about ±{half:.4f}",
        provenance=family.provenance,
        protocol=result.arena.protocol,
        runs=(*result.runs, *(rival.runs[:2] if rival else ())),
        n=result.n + (rival.n if rival else 0),
        figures={
            "f1": result.mean, "noise": noise.spread, "half_width_after": half,
            **({"rival_f1": rival.mean} if rival else {}),
        },
        trial=Trial(("train",), result.best.run_id, {"seed": result.more_seeds(MORE)}),
        cost=costs.training(family, MORE),
        chance=chance,
        because=because,
    )  # fmt: skip


def _named(rival: Result, result: Result) -> str:
    """A rival of the same kind has the same name, so it is told by its run."""
    same = rival.family == result.family
    return f"its next config, {rival.best.run_id}" if same else rival.family.name
