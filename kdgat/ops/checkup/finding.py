"""What a check finds, what it looks at, and what a check is."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kdgat.agent.given import Given
from kdgat.errors import KdgatError
from kdgat.workspace import Workspace

Severity = Literal["problem", "note"]
_PLACE = re.compile(r"'?([^\s':]+):([1-9]\d*)'?: ")


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be."""

    kind: str
    """What sort of thing: `conda`, `mode`, `second context` ..."""
    severity: Severity
    """A `note` may stay as it is; a `problem` makes the doctor end with 1."""
    where: str
    """File and line, a file or a folder; empty where it is this machine."""
    what: str
    """One sentence with the value that was met."""
    fix: str
    """The command, or the edit, that mends it."""
    fixable: bool
    """Whether `--fix` does that."""


@dataclass(frozen=True)
class Found:
    """A finding, and how it is mended where that is safe."""

    finding: Finding
    mend: Callable[[], str] | None = None
    """Mends it and tells what was done; raises KdgatError or OSError where that fails."""


@dataclass(frozen=True)
class Surroundings:
    """What checks look at."""

    ws: Workspace
    context: Given
    """Commands and tools, which layers above have."""
    environ: Mapping[str, str]
    user_home: Path
    now: float
    """Seconds since 1970."""
    nvidia: Path = Path("/proc/driver/nvidia")
    """The folder in which the driver says what it is."""

    @classmethod
    def here(cls, ws: Workspace, context: Given) -> Surroundings:
        """Those of this process."""
        return cls(ws, context, dict(os.environ), Path.home(), time.time())


@dataclass(frozen=True)
class Check:
    """One independent look."""

    name: str
    look: Callable[[Surroundings], Iterable[Found]]
    by_hand: str
    """The command that does the same without a time limit."""
    limit_s: float = 10.0
    """Seconds after which it is left alone."""


def problem(
    kind: str, what: str, fix: str, *, where: str = "", mend: Callable[[], str] | None = None
) -> Found:
    """What stands in the way of work, or gives wrong results."""
    return Found(Finding(kind, "problem", where, what, fix, mend is not None), mend)


def note(
    kind: str, what: str, fix: str, *, where: str = "", mend: Callable[[], str] | None = None
) -> Found:
    """What is worth knowing, and may stay as it is."""
    return Found(Finding(kind, "note", where, what, fix, mend is not None), mend)


def of_error(kind: str, error: KdgatError, *, where: str = "") -> Found:
    """What an operation complained of; file and line are taken from its sentence."""
    place = _PLACE.search(f"{error.problem} ")
    return problem(
        kind, error.problem, error.hint, where=where or (f"{place[1]}:{place[2]}" if place else "")
    )
