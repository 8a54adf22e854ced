"""Facts made by hand: judged runs with figures, as the history would tell them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from kdgat.runs.gaps.facts import Arena, DurationRow, EffectRow, Facts, Family, Judged
from kdgat.runs.gaps.finding import Finding
from kdgat.runs.gaps.table import findings

START = datetime(2026, 11, 1, tzinfo=UTC).replace(tzinfo=None)
GAT = Family("real", "hcrl_sa", "gat", "large", False)
STUDENT = Family("real", "hcrl_sa", "gat", "small", True)
TRAINABLE = frozenset({"gat", "vgae"})


def run_id(number: int) -> str:
    return f"20261101-080000-{number:07d}"


def arena(family: Family, protocol: str = "zero_shot") -> Arena:
    return Arena(family.provenance, family.dataset, "d" * 64, 1, protocol)


def judged(number: int, score: float | None, family: Family = GAT, **changes: Any) -> Judged:
    """Run `number` with this figure; its recipe is 1 and its seed its number unless told."""
    row = Judged(
        arena(family), family, run_id(number), number, 1, score, f"{number:016x}", "g", None, 1,
        START + timedelta(minutes=number), 1000.0, None, None, None,
    )  # fmt: skip
    return row._replace(**changes)


def seeds(first: int, mean: float, family: Family = GAT, **changes: Any) -> list[Judged]:
    """Three seeds about a mean, their standard deviation 0.01."""
    return [
        judged(first + seed, mean + (seed - 1) / 100, family, seed=seed, **changes)
        for seed in range(3)
    ]


def effect(
    mean: float,
    family: Family = GAT,
    *,
    field: str = "model.hidden",
    pairs: int = 8,
    spread: float = 0.005,
    **changes: Any,
) -> EffectRow:
    """Hidden 64 instead of 32, by so much."""
    row = EffectRow(
        arena(family), family, field, "32", "64", pairs, mean, spread, 0.0,
        START, (run_id(1),), (run_id(2),), 10,
    )  # fmt: skip
    return row._replace(**changes)


def hour(family: Family = GAT, *, on_gpu: bool = True) -> tuple[DurationRow, DurationRow]:
    """Trainings of an hour, evaluations of six minutes."""
    return (
        DurationRow(family, False, 3600.0, 4, on_gpu),
        DurationRow(family, True, 360.0, 4, False),
    )


def found(kind: str, **facts: Any) -> list[Finding]:
    """The findings of one kind."""
    given = {"trainings": 1, "trainable": TRAINABLE, **facts}
    return [each for each in findings(Facts(**given)) if each.kind == kind]
