"""The tool `cancel`: ends jobs, and tells what became of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from kdgat.workspace import Workspace


@dataclass(frozen=True)
class Ended:
    """One run; `verified` says whether its job has ended for sure."""

    run_id: str
    job: str
    state: str
    verified: bool
    dependents: tuple[str, ...]


@dataclass(frozen=True)
class CancelAnswer:
    """What was cancelled; with `dry_run`, what would be."""

    items: tuple[Ended, ...]
    total: int
    next_cursor: str | None
    truncated: bool
    hint: str
    dry_run: bool

    def summary(self) -> str:
        """Each run with its job's state."""
        would = "would be cancelled: " if self.dry_run else ""
        return would + ", ".join(f"{each.run_id} is {each.state}" for each in self.items)


def cancel(
    ws: Workspace,
    *,
    runs: Annotated[
        list[str], Field(description="ids or beginnings of them", min_length=1, max_length=50)
    ],
    dry_run: Annotated[bool, Field(description="only tell what would be cancelled")] = False,
) -> CancelAnswer:
    """End the jobs of runs that wait or work, and see that they ended; runs that need them too.

    Use when the user wants a job stopped, or one that was just submitted is wrong.
    Not when a job merely waits or is slow (status): what it did since its last epoch is lost.
    """
    from kdgat.ops.cancel import cancel as end

    done = end(ws, runs, dry_run=dry_run)
    items = tuple(
        Ended(each.run_id, each.scheduler_id, each.state.lower(), each.verified, each.dependents)
        for each in done.items
    )
    waits = not dry_run and not all(each.verified for each in items)
    hint = "not ended yet: status tells when; nothing has to be cancelled again" if waits else ""
    return CancelAnswer(items, len(items), None, False, hint, done.dry_run)
