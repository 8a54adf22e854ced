"""What a gap is told as: the claim, what it rests on, what to try, and what that is worth.

Of each trial two numbers are estimated:

- `chance`: how likely its answer changes what one would do without it (which model is best, which
  setting, teacher or card the next run takes). Each kind of gap says how it gets there. Where
  nothing is known it is 1/2, and shares of few cases follow the rule of succession,
  (seen + 1) / (cases + 2).
- its cost in hours, the median of runs like it.

The value is the chance for each hour, with `EFFORT_H` on top of every trial: what costs no
computing costs a person's attention.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal[
    "nothing yet",
    "axis never varied",
    "one seed",
    "dominated setting",
    "threshold",
    "one protocol",
    "open question",
    "contradiction",
    "opposite effects",
    "baseline wins",
    "cheaper GPU",
    "not promoted",
    "better teacher",
    "never retried",
    "not judged",
]
EFFORT_H = 0.1
"""Hours that any trial costs beside its computing."""
UNKNOWN_H = 1.0
"""Hours of a trial that no run is like."""
EVEN = 0.5
"""Chance where nothing is known."""
WORTH = 0.02
"""Chance below which a trial is not told."""
MOST = 10
"""Findings that are told at most."""
MOST_OF_A_KIND = 3
"""Findings of one kind that are told while others wait."""
SHOWN_RUNS = 6
"""Run ids that a finding names."""


@dataclass(frozen=True)
class Cost:
    """What a trial computes."""

    hours: float | None
    """Of a GPU or a machine; None where no run is like it."""
    on_gpu: bool = False
    like: int = 0
    """Runs whose median duration it is."""

    @property
    def text(self) -> str:
        """As a person reads it."""
        if self.hours is None:
            return "unknown, no run is like it"
        if self.hours == 0:
            return "next to nothing"
        what = "GPU-h" if self.on_gpu else "h"
        amount = f"{self.hours:.1f} {what}" if self.hours >= 1 else f"{60 * self.hours:.1f} min"
        on_gpu = " of a GPU" if self.on_gpu and self.hours < 1 else ""
        source = f"as {self.like} runs like it took" if self.like else "as it takes elsewhere"
        return f"{amount}{on_gpu}, {source}"


FREE = Cost(0.0)
"""What computes nothing to speak of."""


@dataclass(frozen=True)
class Trial:
    """A command; where it trains, its overrides are those of a run and some changes."""

    words: tuple[str, ...]
    """After `kdgat`: the command, and its arguments where no run is the base."""
    base: str | None = None
    """The run whose config is taken."""
    changes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Fields that are to differ; several values make a sweep."""
    options: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """Runs that it makes."""
        made = 1
        for values in self.changes.values():
            made *= len(values)
        return made


@dataclass(frozen=True)
class Finding:
    """One gap."""

    kind: Kind
    claim: str
    """One sentence."""
    provenance: str
    """real, simulated or imported; never mixed in one finding. Empty where no data is spoken of."""
    protocol: str
    """zero_shot or adapted; empty where no figure of an evaluation is spoken of."""
    runs: tuple[str, ...]
    """Runs that it rests on, the telling ones first."""
    n: int
    """How many those are in all."""
    figures: dict[str, float]
    trial: Trial
    cost: Cost
    chance: float
    """That the trial changes what one would do without it, from 0 to 1."""
    because: str
    """How the chance came about."""

    @property
    def value(self) -> float:
        """Chance for each hour."""
        hours = UNKNOWN_H if self.cost.hours is None else self.cost.hours
        return self.chance / (hours + EFFORT_H)


def succession(seen: int, cases: int) -> float:
    """The chance of another case of something seen `seen` times in `cases` (Laplace)."""
    return (seen + 1) / (cases + 2)


def ranked(findings: Iterable[Finding]) -> list[Finding]:
    """What is worth trying, the most valuable first, simulated data after all other."""
    return sorted((each for each in findings if each.chance >= WORTH), key=_place)


def chosen(findings: Sequence[Finding], limit: int) -> tuple[Finding, ...]:
    """The first of ranked findings; beyond `MOST_OF_A_KIND` a kind waits until no other does."""
    told, waiting = list[Finding](), list[Finding]()
    counts: Counter[Kind] = Counter()
    for each in findings:
        counts[each.kind] += 1
        (told if counts[each.kind] <= MOST_OF_A_KIND else waiting).append(each)
    return tuple(sorted((told + waiting)[:limit], key=_place))


def _place(finding: Finding) -> tuple[bool, float, str, str]:
    return finding.provenance == "simulated", -finding.value, finding.kind, finding.claim
