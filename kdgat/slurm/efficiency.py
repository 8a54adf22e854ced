"""What a job used of what it asked for, and what to ask for next time.

sacct knows the memory of steps alone, as the most that one task of a step held, and of a job that
was requeued the last try alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from kdgat.ledger.jobs import JobRequest
from kdgat.slurm.cluster import show_time
from kdgat.slurm.queue import AccountRow

_MUCH = 0.9
"""Share of what was asked for above which the next job of this kind may not fit."""
_LITTLE = 0.5
"""Share below which less is worth asking for: it waits less long, and others wait less too."""
_SPARE = 1.3
"""What the advice leaves above what was used."""
_SHORT_S = 600
"""A job that ran so briefly tells little of its need."""
_QUARTER_S = 900
_MIB = 1 << 20
_GIB = 1 << 30


@dataclass(frozen=True)
class Efficiency:
    """Use and request of one task; None for what the accounting does not tell."""

    state: str
    elapsed_s: int | None
    time_limit_s: int | None
    cores: int | None
    cpu_s: float | None
    asked_memory_bytes: int | None
    used_memory_bytes: int | None
    """On the node that used most, as far as steps of several tasks tell it."""

    @property
    def time_share(self) -> float | None:
        """Time used of the time asked for."""
        return _share(self.elapsed_s, self.time_limit_s)

    @property
    def cpu_share(self) -> float | None:
        """Work of the cores, of what they could have done in the time."""
        return _share(self.cpu_s, (self.elapsed_s or 0) * (self.cores or 0))

    @property
    def memory_share(self) -> float | None:
        """Memory used of the memory asked for."""
        return _share(self.used_memory_bytes, self.asked_memory_bytes)


def efficiency(rows: Sequence[AccountRow], request: JobRequest) -> Efficiency | None:
    """One task's use, from its rows with steps; None where the accounting has no job among them."""
    whole = next((row for row in rows if row.step is None), None)
    if whole is None:
        return None
    per_task = max((row.used_memory_bytes or 0 for row in rows if row.step), default=0)
    asked = (request.memory_mb or 0) * _MIB or whole.asked_memory_bytes
    return Efficiency(
        state=whole.state,
        elapsed_s=whole.elapsed_s,
        time_limit_s=whole.time_limit_s or request.time_limit_s,
        cores=whole.cores,
        # A job that still runs has no CPU time yet.
        cpu_s=whole.cpu_s or None,
        asked_memory_bytes=asked,
        used_memory_bytes=per_task * request.tasks_per_node or None,
    )


def advice(used: Efficiency) -> tuple[str, ...]:
    """What to ask for next time, a sentence each; nothing while it still runs."""
    if used.state in ("PENDING", "RUNNING", "REQUEUED", "SUSPENDED"):
        return ()
    said = (_on_time(used), _on_cores(used), _on_memory(used))
    return tuple(each for each in said if each)


def _on_time(used: Efficiency) -> str | None:
    share, elapsed = used.time_share, used.elapsed_s
    if share is None or elapsed is None:
        return None
    if used.state == "TIMEOUT":
        return (
            "it met its time limit; ask for more with --time, or let it go on with `kdgat submit`"
        )
    if share > _MUCH:
        return f"used {100 * share:.0f} % of the time asked for; ask for a little more"
    wise = math.ceil(max(elapsed * _SPARE, _SHORT_S) / _QUARTER_S) * _QUARTER_S
    if share < _LITTLE and wise < (used.time_limit_s or 0):
        return f"used {100 * share:.0f} % of the time asked for; ask for --time {show_time(wise)}"
    return None


def _on_cores(used: Efficiency) -> str | None:
    share, cores = used.cpu_share, used.cores
    if share is None or cores is None or cores < 2 or (used.elapsed_s or 0) < _SHORT_S:
        return None
    wise = max(1, math.ceil(share * cores * _SPARE))
    if share < _LITTLE and wise < cores:
        return f"kept {share * cores:.1f} of {cores} cores busy; {wise} would do"
    return None


def _on_memory(used: Efficiency) -> str | None:
    share, held = used.memory_share, used.used_memory_bytes
    if share is None or held is None:
        return None
    if share > _MUCH:
        return f"used {100 * share:.0f} % of the memory asked for; ask for more with --memory-gb"
    wise = max(1, math.ceil(held * _SPARE / _GIB))
    if share < _LITTLE and wise * _GIB < (used.asked_memory_bytes or 0):
        return f"used {100 * share:.0f} % of the memory asked for; --memory-gb {wise} would do"
    return None


def _share(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else part / whole
