"""The states of a run, and those it may go on from."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a run is in its life."""

    PLANNED = "planned"
    SUBMITTED = "submitted"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMEOUT = "timeout"
    PREEMPTED = "preempted"
    LOST = "lost"


RESUMABLE = frozenset({State.FAILED, State.CANCELLED, State.TIMEOUT, State.PREEMPTED, State.LOST})
"""States in which a run stopped before its end and may go on from its newest checkpoint."""
