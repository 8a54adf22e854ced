"""What every kind of gap is found in: the facts, the recipes ranked, the costs."""

from __future__ import annotations

from dataclasses import dataclass

from kdgat.runs.gaps.costs import Costs
from kdgat.runs.gaps.facts import Facts
from kdgat.runs.gaps.standings import Standings


@dataclass(frozen=True)
class Seen:
    """The facts, and what is worked out of them once."""

    facts: Facts
    standings: Standings
    costs: Costs

    @classmethod
    def of(cls, facts: Facts) -> Seen:
        """Of these facts."""
        return cls(facts, Standings(facts.judged), Costs(facts.durations))

    def trains(self, kind: str) -> bool:
        """Whether this version can train a kind of model."""
        return kind in self.facts.trainable
