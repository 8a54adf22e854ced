"""Thresholds that hold on the training vehicles alone, and models judged under one protocol."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from kdgat.runs.gaps.costs import Costs
from kdgat.runs.gaps.facts import DatasetRow
from kdgat.runs.gaps.finding import Finding, Trial, succession
from kdgat.runs.gaps.seen import Seen
from kdgat.runs.gaps.standings import Result, Standings

RANKS_WELL = 0.9
"""AUROC on unknown vehicles from which on it is the threshold that is wrong."""
FALLS = 0.2
"""F1 lost from known to unknown vehicles that is a collapse."""
_OTHERS = ("conformal", "benign_quantile")
"""Ways to set a threshold beside `auto`, the first of which is tried."""


def collapsed(seen: Seen) -> Iterator[Finding]:
    """Best models that rank unknown vehicles' windows well and decide on them badly.

    A threshold is set when a model is judged, so nothing is trained anew. The chance that another
    one helps is 2 AUROC - 1, how far the ranking is from a coin toss.
    """
    for arena in seen.standings.arenas:
        for result in seen.standings.leaders(arena).values():
            if not result.family.distilled and _collapse(result):
                yield _collapsed(result, seen.costs)


def _collapse(result: Result) -> bool:
    best = result.best
    if best.known is None or best.unknown is None or best.unknown_auroc is None:
        return False
    return best.unknown_auroc >= RANKS_WELL and best.known - best.unknown >= FALLS


def _collapsed(result: Result, costs: Costs) -> Finding:
    best, family = result.best, result.family
    assert best.known is not None
    assert best.unknown is not None
    assert best.unknown_auroc is not None
    return Finding(
        kind="threshold",
        claim=f"the threshold of {family.name} ({family.provenance}, {result.arena.protocol}) "
        f"holds on its training vehicles: F1 is {best.known:.4f} on them and {best.unknown:.4f} on "
        f"unknown ones, whose windows it ranks well (AUROC {best.unknown_auroc:.4f}); others are "
        f"evaluation.threshold={' and '.join(_OTHERS)}",
        provenance=family.provenance,
        protocol=result.arena.protocol,
        runs=(best.run_id,),
        n=1,
        figures={
            "f1_known": best.known, "f1_unknown": best.unknown,
            "auroc_unknown": best.unknown_auroc,
        },
        trial=Trial(("evaluate", best.run_id, f"evaluation.threshold={_OTHERS[0]}")),
        cost=costs.evaluation(family),
        chance=2 * best.unknown_auroc - 1,
        because="2 AUROC - 1 on unknown vehicles: how well the windows could be told apart",
    )  # fmt: skip


def one_vehicle(seen: Seen) -> Iterator[Finding]:
    """Datasets of a single vehicle, whose models nobody tried on a dataset with more.

    The chance is the share of datasets with unknown vehicles on which the best model collapsed.
    """
    judged = {arena.dataset for arena in seen.standings.arenas}
    for row in seen.facts.datasets:
        wider = [
            each
            for each in seen.facts.datasets
            if each.vehicles > 1 and each.provenance == row.provenance and each.name not in judged
        ]
        if row.vehicles == 1 and wider:
            yield from _one_vehicle(seen, row, wider[0])


def _one_vehicle(seen: Seen, row: DatasetRow, other: DatasetRow) -> Iterator[Finding]:
    arenas = [arena for arena in seen.standings.arenas if arena.dataset == row.name]
    for arena in arenas[:1]:
        result = next(
            (
                each
                for family, each in seen.standings.leaders(arena).items()
                if not family.distilled and seen.trains(family.model)
            ),
            None,
        )
        if result is None:
            return
        fell, cases = _collapses(seen.standings, arena.provenance, arena.protocol)
        yield Finding(
            kind="threshold",
            claim=f"every figure of {row.name} ({row.provenance}) is of one vehicle, so the "
            f"threshold of {result.family.name} (F1 {result.mean:.4f}) was never tried on another; "
            f"{other.name} has {other.vehicles}",
            provenance=row.provenance,
            protocol=arena.protocol,
            runs=result.runs,
            n=result.n,
            figures={"f1": result.mean, "vehicles": 1.0, "vehicles_there": float(other.vehicles)},
            trial=Trial(("train",), result.best.run_id, {"dataset": (other.name,)}),
            cost=seen.costs.training(result.family),
            chance=succession(fell, cases),
            because=f"the best model fell on unknown vehicles in {fell} of {cases} datasets",
        )


def _collapses(standings: Standings, provenance: str, protocol: str) -> tuple[int, int]:
    """Datasets whose best model lost much on unknown vehicles, of those that have such."""
    fell: dict[str, bool] = {}
    for arena, results in standings.arenas.items():
        best = results[0].best
        same = (arena.provenance, arena.protocol) == (provenance, protocol)
        if same and best.known is not None and best.unknown is not None:
            fell[arena.dataset] = best.known - best.unknown >= FALLS
    return sum(fell.values()), len(fell)


def one_protocol(seen: Seen) -> Iterator[Finding]:
    """Best models that lack a protocol under which others on their captures were judged.

    One evaluation judges under every protocol, so this is of models judged before there was
    another; to judge them anew is all it takes. Figures of the other protocol are not told: they
    don't compare. The chance that the leader there is another one is unknown until it is judged:
    among so many models each is first alike.
    """
    protocols: dict[tuple[str, str, str], dict[str, set[str]]] = defaultdict(dict)
    for arena, results in seen.standings.arenas.items():
        captures = (arena.provenance, arena.dataset, arena.dataset_hash)
        runs = {run for each in results for run in each.runs}
        protocols[captures].setdefault(arena.protocol, set()).update(runs)
    for arena in seen.standings.arenas:
        others = protocols[arena.provenance, arena.dataset, arena.dataset_hash]
        result = seen.standings.arenas[arena][0]
        for protocol, runs in sorted(others.items()):
            if protocol != arena.protocol and not runs & set(result.runs):
                yield Finding(
                    kind="one protocol",
                    claim=f"the best of {arena.dataset} ({arena.provenance}) under "
                    f"{arena.protocol}, {result.family.name} with F1 {result.mean:.4f}, was never "
                    f"judged under {protocol}, as {len(runs)} others were",
                    provenance=arena.provenance,
                    protocol=arena.protocol,
                    runs=result.runs,
                    n=result.n,
                    figures={"f1": result.mean, "judged_under_the_other": len(runs)},
                    trial=Trial(("evaluate", result.best.run_id, "--again")),
                    cost=seen.costs.evaluation(result.family),
                    chance=1 / (len(runs) + 1),
                    because=f"it is as likely the best of {len(runs)} + 1 there as any",
                )
