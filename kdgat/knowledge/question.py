"""A question to terms: its words, and other ways in which the pages may write them.

Nothing here knows a subject: other ways come from the site's own abbreviations and glossaries,
from words that are written together or apart (vscode, VS Code), and from slips of the keyboard.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

_SAYING_LITTLE = """
a about after again all also am an and any anyone are as at be because been before being both but
by can can't cannot could did do does doesn't doing don't each either every few for from get gets
getting give given go going got had has have having he her here hers him his how i i'd i'm i've if
in into is isn't it it's its just let like made make makes may me might mine must my myself need
needs no nor not of off on once one only onto or other our ours out over own please put s same she
should shall so some such t than that that's the their theirs them then there these they thing
things this those through to too until up upon us use used using very want wants was way we were
what what's when where whether which while who whom whose why will with within without won't would
you your yours
"""
STOP = frozenset(_SAYING_LITTLE.split())
_WORD = re.compile(r"[^\W_]+(?:'[a-z]+)?")
_MOST_TERMS = 32
_SHORT_MEANING = 6
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Term:
    """One word of a question, and what may stand for it; each a word or a phrase."""

    word: str
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Question:
    """A question, cut."""

    text: str
    """What is embedded: with abbreviations spelt out."""
    terms: tuple[Term, ...]
    phrases: tuple[str, ...]
    """Neighbouring words."""


def ask(
    text: str, terms: Mapping[str, str], count: Callable[[str], int], stems: Callable[[], set[str]]
) -> Question:
    """Cut a question. `count` tells in how many sections a word or phrase stands."""
    found_words = _WORD.findall(text.lower().replace("\u2019", "'"))[: 4 * _MOST_TERMS]
    words = [word.removesuffix("'s") for word in found_words]
    kept = list(dict.fromkeys(word for word in words if word not in STOP)) or words
    spelt = {short.lower(): meaning for short, meaning in terms.items()}
    joined = {a: a + b for a, b in pairwise(words) if count(a + b)}
    found = []
    for word in kept[:_MOST_TERMS]:
        others = [_plain(spelt[word])] if _is_short(spelt.get(word)) else []
        if word in joined:
            others.append(joined[word])
        if not count(word):
            others.extend(_apart(word, count) or _slips(word, stems()))
        found.append(Term(word, tuple(filter(None, others))))
    whole = f" {' '.join(words)} "
    found.extend(
        Term(_plain(short))
        for short, meaning in terms.items()
        if _is_short(meaning) and f" {_plain(meaning)} " in whole and _plain(short) not in words
    )
    phrases = [f"{a} {b}" for a, b in pairwise(words) if not (a in STOP and b in STOP)]
    meanings = [spelt[word] for word in kept if _is_short(spelt.get(word))]
    return Question(
        text=f"{text} ({', '.join(meanings)})" if meanings else text,
        terms=tuple(found),
        phrases=tuple(dict.fromkeys(phrases)),
    )


def _plain(text: str) -> str:
    return " ".join(_WORD.findall(text.lower()))


def _is_short(meaning: str | None) -> bool:
    """Whether a meaning is another name; a longer one is an explanation."""
    return bool(meaning) and len(str(meaning).split()) <= _SHORT_MEANING


def _apart(word: str, count: Callable[[str], int]) -> list[str]:
    """`vscode` as `vs code`, where the pages write it so."""
    cuts = (f"{word[:at]} {word[at:]}" for at in range(2, len(word) - 1))
    return [cut for cut in cuts if count(cut)][:2]


def _slips(word: str, stems: set[str]) -> list[str]:
    """Words of the pages that are one letter away."""
    if len(word) < 5 or not word.isascii() or not word.isalpha():
        return []
    near = {word[:at] + word[at + 1 :] for at in range(1, len(word))}
    near |= {
        word[:at] + letter + word[at + skip :]
        for at in range(1, len(word) + 1)
        for letter in _LETTERS
        for skip in (0, 1)
    }
    ends = ("", "s", "ed", "ing", "e", "es")
    return sorted(
        each
        for each in near
        if any(each.endswith(end) and each.removesuffix(end) in stems for end in ends)
    )[:3]
