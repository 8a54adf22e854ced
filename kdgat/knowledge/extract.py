"""What of a section is shown: the units that answer, in their order, within a budget.

Where a section is short it is shown whole. Else the units that hold the question's rarer words come
first, then their neighbours, then the beginning; `[…]` stands where something was left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from kdgat.knowledge.markdown import Unit

_GAP = "[…]"
_WORD = re.compile(r"[^\W_]+")
_NEIGHBOUR = 0.35
_FIRST = 0.15
_LONGEST_UNIT = 0.75
"""Share of the budget that one unit may take before it is cut into runs of lines."""


def extract(units: Sequence[Unit], weights: Mapping[str, float], budget: int) -> str:
    """At most about `budget` characters of `units`; `weights` are the question's words."""
    pieces = [
        Unit(each.kind, part, each.lead)
        for each in units
        for part in _parts(each, int(budget * _LONGEST_UNIT))
    ]
    if sum(len(piece.text) + 1 for piece in pieces) <= budget:
        return _joined(pieces, range(len(pieces)))
    worth = _worth(pieces, weights)
    chosen: set[int] = set()
    left = budget
    while True:
        fitting = [
            number
            for number in range(len(pieces))
            if number not in chosen and len(pieces[number].text) < left
        ]
        if not fitting:
            break
        best = max(
            fitting,
            key=lambda n: (
                worth[n]
                + _NEIGHBOUR * max((worth[m] for m in (n - 1, n + 1) if m in chosen), default=0),
                -n,
            ),
        )
        chosen.add(best)
        left -= len(pieces[best].text) + 4
    if not chosen:
        return pieces[max(range(len(pieces)), key=lambda n: worth[n])].text[:budget]
    return _joined(pieces, sorted(chosen))


def words_of(text: str) -> set[str]:
    """Words as they are compared: small, without their endings."""
    return {stem(word) for word in _WORD.findall(text.lower())}


def stem(word: str) -> str:
    """A word without a common ending; rough, and the same on both sides."""
    for end in (
        "ations",
        "ation",
        "ings",
        "ing",
        "ies",
        "ers",
        "ed",
        "es",
        "er",
        "ly",
        "s",
        "e",
        "y",
    ):
        if word.endswith(end) and len(word) - len(end) >= 3:
            return word.removesuffix(end)
    return word


def _worth(pieces: Sequence[Unit], weights: Mapping[str, float]) -> list[float]:
    """The share of the question's weight in a piece, with a little for an early place."""
    whole = sum(weights.values()) or 1.0
    held = []
    for number, piece in enumerate(pieces):
        words = words_of(f"{piece.lead} {piece.text}")
        share = sum(weight for word, weight in weights.items() if word in words) / whole
        held.append(share + _FIRST / (1 + number))
    return held


def _parts(unit: Unit, most: int) -> list[str]:
    """A unit, or runs of its lines where it is long."""
    if len(unit.text) <= most:
        return [unit.text]
    lines = unit.text.split("\n")
    if len(lines) == 1:
        lines = re.split(r"(?<=[.!?;])\s+", unit.text)
        if len(lines) == 1:
            return [unit.text[:most]]
    runs: list[str] = []
    for line in lines:
        if runs and len(runs[-1]) + len(line) + 1 <= most // 2:
            runs[-1] += "\n" + line
        else:
            runs.append(line[:most])
    return runs


def _joined(pieces: Sequence[Unit], chosen: Sequence[int]) -> str:
    lines: list[str] = []
    before = -1
    lead = ""
    for number in chosen:
        if number != before + 1:
            lines.append(_GAP)
        piece = pieces[number]
        if piece.lead and piece.lead != lead:
            lines.append(piece.lead)
        lead, before = piece.lead, number
        lines.append(piece.text)
    if chosen and before != len(pieces) - 1:
        lines.append(_GAP)
    return "\n".join(lines)
