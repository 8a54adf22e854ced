"""Trainings on GPUs that are larger than what they took of them.

A smaller card would do when the most that such trainings ever took, allocator and context
together, is at most `FILL` of it, and it computes their precision. The chance is the rule of
succession over those trainings, which all stayed below.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kdgat.configs.resources import GIB, GPUS, Gpu
from kdgat.runs.gaps.costs import Costs
from kdgat.runs.gaps.facts import Card, MemoryRow
from kdgat.runs.gaps.finding import Finding, Trial, succession
from kdgat.runs.gaps.seen import Seen
from kdgat.runs.gaps.standings import Standings

FILL = 0.8
"""Share of a smaller card that trainings may have taken."""
_LONGER = 3.0
"""How much longer a training may take there; a partition must allow that."""


def find(seen: Seen) -> Iterator[Finding]:
    """One finding a family that trains on a GPU, with the smallest card that would do."""
    for row in seen.facts.memory:
        card = _smaller(row, seen.facts.cards, seen.costs)
        if card is not None and seen.trains(row.family.model):
            yield _finding(row, card, seen.standings, seen.costs)


def _smaller(row: MemoryRow, cards: Iterable[Card], costs: Costs) -> Card | None:
    now = GPUS.get(row.gpu)
    if now is None or now.compute_capability is None:
        return None
    hours = costs.training(row.family).hours or 0.0
    fitting = [
        card
        for card in cards
        if card.gpu in GPUS
        and _size(GPUS[card.gpu]) < _size(now)
        and row.most_bytes <= FILL * GPUS[card.gpu].total_bytes
        and row.precision in GPUS[card.gpu].precisions
        and (card.max_time_s is None or _LONGER * hours * 3600 <= card.max_time_s)
    ]
    # Of one card the partition that its cluster names first.
    return min(fitting, key=lambda card: _size(GPUS[card.gpu]), default=None)


def _size(gpu: Gpu) -> tuple[tuple[int, int], int]:
    """Orders cards from cheap to dear: by generation, then memory."""
    return gpu.compute_capability or (0, 0), gpu.total_bytes


def _finding(row: MemoryRow, card: Card, standings: Standings, costs: Costs) -> Finding:
    family, there = row.family, GPUS[card.gpu]
    result = standings.best(family)
    seed = result.more_seeds(1) if result else (str(row.seed + 1),)
    return Finding(
        kind="cheaper GPU",
        claim=f"{family.name} ({family.provenance}) took at most {row.most_bytes / GIB:.1f} GiB "
        f"in {row.runs} trainings, the newest on {GPUS[row.gpu].title}; {there.title} of "
        f"{card.cluster} has {there.total_bytes / GIB:.1f} GiB",
        provenance=family.provenance,
        protocol="",
        runs=(row.run_id,),
        n=row.runs,
        figures={
            "most_bytes": row.most_bytes, "there_bytes": there.total_bytes,
            "now_bytes": GPUS[row.gpu].total_bytes,
        },
        trial=Trial(
            ("submit",), row.run_id, {"seed": seed},
            ("--cluster", card.cluster, "--partition", card.partition, "--gpus", "1", "--evaluate"),
        ),
        cost=costs.training(family),
        chance=succession(row.runs, row.runs),
        because=f"all {row.runs} trainings stayed below {100 * FILL:.0f} % of that card",
    )  # fmt: skip
