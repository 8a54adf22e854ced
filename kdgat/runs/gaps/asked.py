"""Open questions whose trigger fired: looking costs nothing, and the answer is open (1/2)."""

from __future__ import annotations

from collections.abc import Iterator

from kdgat.runs.gaps.finding import EVEN, FREE, SHOWN_RUNS, Finding, Trial
from kdgat.runs.gaps.seen import Seen


def find(seen: Seen) -> Iterator[Finding]:
    """One finding a question."""
    for question in seen.facts.questions:
        yield Finding(
            kind="open question",
            claim=f"question {question.id}, '{question.title}', can be looked at now: "
            f"{question.trigger}",
            provenance="",
            protocol="",
            runs=question.runs[:SHOWN_RUNS],
            n=len(question.runs),
            figures={},
            trial=Trial(("questions", "show", question.id)),
            cost=FREE,
            chance=EVEN,
            because="nobody knows the answer yet",
        )
