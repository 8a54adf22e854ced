"""What is strange in a capture; without polars, so that a manifest is read quickly."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Oddity:
    """Something strange in a capture that was kept and counted: what, how often, and the first."""

    kind: str
    count: int
    first_line: int | None = None
    example: str = ""
