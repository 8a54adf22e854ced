"""What to run first, where there is no training yet: whatever comes of it is news."""

from __future__ import annotations

from collections.abc import Iterator

from kdgat.runs.gaps.finding import Cost, Finding, Trial
from kdgat.runs.gaps.seen import Seen

_QUICKSTART_H = 0.05


def find(seen: Seen) -> Iterator[Finding]:
    """The quick start on an empty workspace; else a first model of each ingested dataset."""
    if seen.facts.trainings:
        return
    if not seen.facts.datasets:
        yield _finding(
            "nothing was ever run here and no dataset is ingested: the quick start does the whole "
            "job once on simulated traffic, in a few minutes",
            "", Trial(("quickstart",)), Cost(_QUICKSTART_H),
        )  # fmt: skip
    for row in seen.facts.datasets:
        yield _finding(
            f"{row.name} ({row.provenance}) is ingested and no model was ever trained on it: begin "
            "with the large GAT, which students can learn from",
            row.provenance,
            Trial(("train", f"dataset={row.name}", "model=gat", "size=large")),
            Cost(None),
        )


def _finding(claim: str, provenance: str, trial: Trial, cost: Cost) -> Finding:
    return Finding(
        kind="nothing yet",
        claim=claim,
        provenance=provenance,
        protocol="",
        runs=(),
        n=0,
        figures={},
        trial=trial,
        cost=cost,
        chance=1.0,
        because="nothing is known yet",
    )
