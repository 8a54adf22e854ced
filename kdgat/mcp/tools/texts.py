"""Long texts in parts, so that a page, a log or a script can be read piece by piece."""

from __future__ import annotations

_PART = 1_200
"""Characters of a part; it ends where a paragraph does, or a line of a long one."""


def parts(text: str) -> list[str]:
    """A text in pieces that end between paragraphs, or in a long one between lines."""
    found = [""]
    for paragraph in text.strip().split("\n\n"):
        pieces = [paragraph] if len(paragraph) <= _PART else paragraph.split("\n")
        for place, piece in enumerate(pieces):
            between = "\n\n" if place == 0 else "\n"
            if found[-1] and len(found[-1]) + len(between) + len(piece) > _PART:
                found.append(piece)
            else:
                found[-1] += (between if found[-1] else "") + piece
    return found


def shortened(text: str, most: int) -> str:
    """The beginning of a text, and how much is left out."""
    left = len(text) - most
    return text if left <= 0 else f"{text[:most]} [... {left} more characters]"
