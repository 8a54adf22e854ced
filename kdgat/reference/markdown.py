"""Pieces of Markdown: cells that can't break a table, tables, first sentences."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence

GENERATED = "<!-- Made by `kdgat reference write` from the code. Do not edit. -->"
"""First line of every page that is made; a page without it is somebody's own."""


def page(title: str, intro: str, *parts: str) -> str:
    """A whole page, which ends with one newline."""
    body = "\n\n".join(part.strip("\n") for part in (f"# {title}", intro, *parts) if part)
    return f"{GENERATED}\n\n{body}\n"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; empty when there is no row."""
    lines = [_row(columns), _row(["---"] * len(columns)), *(_row(row) for row in rows)]
    return "\n".join(lines) if len(lines) > 2 else ""


def code(text: object) -> str:
    """Code within a line; nothing for nothing."""
    plain = " ".join(str(text).split())
    if not plain:
        return ""
    return f"`` {plain} ``" if "`" in plain else f"`{plain}`"


def fence(text: str, language: str = "text") -> str:
    """Code in a block of its own."""
    return f"```{language}\n{textwrap.dedent(text).strip()}\n```"


def prose(text: str) -> str:
    """A text on one line, in which `<name>` is no tag."""
    parts = re.split(r"(`[^`]*`)", " ".join(text.split()))
    return "".join(part if part.startswith("`") else part.replace("<", "&lt;") for part in parts)


def first_sentence(text: str) -> str:
    """Up to the first full stop that ends a sentence."""
    plain = " ".join(text.split())
    match = re.match(r"(.+?[.!?])(?=\s+[A-Z`*(]|$)", plain)
    return match[1] if match else f"{plain.removesuffix(':')}."


def _row(cells: Sequence[object]) -> str:
    # A bar ends a cell even within code, unless it is escaped.
    texts = (" ".join(str(each).split()).replace("|", "\\|") for each in cells)
    return f"| {' | '.join(texts)} |"
