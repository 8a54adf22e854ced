"""The tool `suggest`: what the history lacks, and the run that would teach most for its cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from kdgat.workspace import Workspace

_RUNS = 4


@dataclass(frozen=True)
class Suggested:
    """A gap, its evidence, and the command that would close it."""

    kind: str
    claim: str
    command: str
    runs: tuple[str, ...]
    """Some of the `n` runs that it rests on."""
    n: int
    cost: str
    chance: float
    because: str
    value: float


@dataclass(frozen=True)
class SuggestAnswer:
    """Suggestions, best first; `value` is the chance that one changes something, an hour."""

    items: tuple[Suggested, ...]
    total: int
    next_cursor: str | None
    truncated: bool
    hint: str
    method: str
    notes: tuple[str, ...]

    def summary(self) -> str:
        """The best ones' claims."""
        best = "; ".join(each.claim for each in self.items[:2])
        return f"{len(self.items)} of {self.total} gaps, best first: {best or 'none'}"


def suggest(ws: Workspace, *, limit: Annotated[int, Field(ge=1, le=10)] = 5) -> SuggestAnswer:
    """What was never tried, is noisy, contradicts itself or waits, ranked by worth for cost.

    Use when asked what to run next, or when a plan needs alternatives.
    Not when one question is followed up (questions), or a chosen run is planned (plan_job).
    """
    from kdgat.modes.state import questions_shown
    from kdgat.ops.suggest import suggest as look

    found = look(ws, limit=limit, questions=questions_shown(ws))
    items = tuple(
        Suggested(
            each.kind, each.claim, each.command, each.runs[:_RUNS], each.n, each.cost,
            round(each.chance, 3), each.because, round(each.value, 3),
        )
        for each in found.items
    )  # fmt: skip
    truncated = len(items) < found.total
    hint = "plan_job takes a command's overrides" if items else "nothing is untried or noisy"
    return SuggestAnswer(items, found.total, None, truncated, hint, found.method, found.notes)
