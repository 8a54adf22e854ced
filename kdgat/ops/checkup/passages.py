"""Passages of a text that an agent reads, and which of them another text has too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from kdgat.modes.packs import token_count

SHORTEST = 40
"""Letters of a passage; a shorter one may well stand twice."""
_LONGEST = 60
_MARK = re.compile(r"^\s*(?:[-*+]|\d+[.)]|#{1,6}|>)\s+")


@dataclass(frozen=True)
class Repeated:
    """What of a text stands elsewhere."""

    passages: int
    tokens: int
    first: str
    """The beginning of the first such passage."""
    elsewhere: str
    """The text that has it too."""


class Said:
    """Passages by the text that said them first."""

    def __init__(self) -> None:
        self._by: dict[str, str] = {}

    def add(self, name: str, text: str) -> None:
        """Keep the passages of a text under its name."""
        for passage in passages(text):
            self._by.setdefault(_plain(passage), name)

    def repeated(self, text: str) -> Repeated | None:
        """What of a text was said before; None where nothing was."""
        hits = [passage for passage in passages(text) if _plain(passage) in self._by]
        if not hits:
            return None
        tokens = sum(token_count(passage) for passage in hits)
        return Repeated(
            len(hits),
            tokens,
            hits[0] if len(hits[0]) <= _LONGEST else f"{hits[0][:_LONGEST]}...",
            self._by[_plain(hits[0])],
        )


def passages(text: str) -> Iterator[str]:
    """Paragraphs and list items, each on one line, without their marks."""
    lines: list[str] = []
    for line in [*text.splitlines(), ""]:
        if lines and (not line.strip() or _MARK.match(line)):
            passage = " ".join(lines)
            lines = []
            if len(_plain(passage)) >= SHORTEST:
                yield passage
        if line.strip():
            lines.append(" ".join(_MARK.sub("", line).split()))


def _plain(passage: str) -> str:
    return re.sub(r"[\W_]+", " ", passage).strip().lower()
