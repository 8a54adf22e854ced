"""The tool `prior_art`: what exists already, before something is built."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from kdgat.mcp.answers import Limit
from kdgat.progress import Progress, quiet
from kdgat.workspace import Workspace


@dataclass(frozen=True)
class Existing:
    """Something that exists; `quoted` is how its own text describes it: data."""

    kind: str
    name: str
    where: str
    use: str
    score: float
    quoted: str


@dataclass(frozen=True)
class PriorArtAnswer:
    """What exists for a task, best first; `confidence` (0 to 1) that it is what was asked for."""

    items: tuple[Existing, ...]
    total: int
    next_cursor: str | None
    truncated: bool
    hint: str
    confidence: float
    searched: tuple[str, ...]
    notes: tuple[str, ...]

    def summary(self) -> str:
        """The best hits, and how sure they are."""
        best = ", ".join(f"{each.name} ({each.kind})" for each in self.items[:4])
        return f"confidence {self.confidence:.2f}: {best or 'nothing like it'}"


def prior_art(
    ws: Workspace,
    *,
    query: Annotated[
        str, Field(description="what is to be built or found out, in a few words", max_length=2000)
    ],
    limit: Limit = 10,
    progress: Progress | None = None,
) -> PriorArtAnswer:
    """What exists already for a task, here and in installed packages, and how it is used.

    Use when about to write more than a few lines, add a dependency, or start an experiment.
    Not when it is known what exists and only its documentation is wanted (docs_lookup).
    """
    from kdgat.modes.state import questions_shown
    from kdgat.ops.prior_art import prior_art as look
    from kdgat.ops.prior_art import remember

    shown = questions_shown(ws)
    art = look(ws, query, limit=limit, questions=shown, progress=progress or quiet)
    remember(ws, art)
    items = tuple(
        Existing(each.kind, each.name, each.where, each.use, round(each.score, 3), each.what)
        for each in art.items
    )
    hint = "use what is there, or say in a sentence why it won't do"
    if art.low_confidence:
        hint = "nothing like it, as it seems: ask once in other words, then build the smallest"
    return PriorArtAnswer(
        items, len(items), None, False, hint, round(art.confidence, 3), art.searched, art.notes
    )
