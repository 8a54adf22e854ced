"""What a session begins with, as text: the mode's own, then sections of facts within a budget.

Pure: facts in, text out. A section is told shorter before one is left out, and of those that must
be left out the lowest-ranked goes first, which one line says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MOST_CHARACTERS = 8_900
"""Clients cut what a hook says at 10,000; this stays under 9,000."""
MOST_LINES = 5
"""Lines of a section where there is room."""
_FEWEST_LINES = 2
_CUT = "..."


@dataclass(frozen=True)
class FactSection:
    """Facts of one kind."""

    name: str
    """As a mode calls it."""
    title: str
    lines: tuple[str, ...]
    """What matters most first."""
    more: str
    """The command that tells all of it."""


@dataclass(frozen=True)
class FittedText:
    """The text, and what is in it."""

    text: str
    shown: tuple[str, ...]
    left_out: tuple[str, ...]


def fitted(head: str, sections: Sequence[FactSection], most_characters: int) -> FittedText:
    """The head and as many sections as fit, in the order given.

    Args:
        head: stays whatever the budget.
        sections: the most important first.
        most_characters: of all of it.
    """
    shown = list(sections)
    while shown and len(_text(head, shown, sections, _FEWEST_LINES)) > most_characters:
        shown.pop()
    text = _text(head, shown, sections, _FEWEST_LINES)
    for lines in range(_FEWEST_LINES + 1, MOST_LINES + 1):
        longer = _text(head, shown, sections, lines)
        if len(longer) > most_characters:
            break
        text = longer
    left_out = sections[len(shown) :]
    return FittedText(
        text, tuple(each.name for each in shown), tuple(each.name for each in left_out)
    )


def quoted(text: str, most: int) -> str:
    """A text of somebody else's as one line in quotation marks, cut to so many characters."""
    return f'"{plain(text, most)}"'


def plain(text: str, most: int) -> str:
    """A text without line ends and control characters, cut to so many characters."""
    words = "".join(sign if sign.isprintable() else " " for sign in text[: 4 * most]).split()
    line = " ".join(words).replace('"', "'")
    return line if len(line) <= most else line[: most - len(_CUT)] + _CUT


def _text(
    head: str, shown: Sequence[FactSection], every: Sequence[FactSection], most_lines: int
) -> str:
    parts = [head]
    for each in shown:
        lines = each.lines[:most_lines]
        tail = [f"- more: `{each.more}`"] if len(lines) < len(each.lines) else []
        parts.append("\n".join((f"## {each.title}", *(f"- {line}" for line in lines), *tail)))
    if left_out := every[len(shown) :]:
        told = ", ".join(f"{each.name} (`{each.more}`)" for each in left_out)
        parts.append(f"Left out to keep to the budget: {told}.")
    return "\n\n".join(parts) + "\n"
