"""Questions that speak of what is asked: words, their rarity, and where they stand."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kdgat.runs.open_questions import Question

_WEIGHTS = (1.0, 0.8, 0.6)
"""Of title and tags; of hypothesis, trigger and answer; of the discussion."""
_BEGINNING = 4
"""Letters from which on a word that begins like the one asked for counts too."""
_SNIPPET = 200


@dataclass(frozen=True)
class Hit:
    """A question that was found; the score goes from 0 to 1."""

    question: Question
    score: float
    quoted: str
    """The line of it that says most of what was asked."""


def find(
    questions: Sequence[Question], query: str, cut: Callable[[str], set[str]]
) -> tuple[Hit, ...]:
    """The questions that hold words of a query, best first.

    The score is the share of the query's words that a question holds, the rarer the more, each by
    the best place in which it stands.
    """
    asked = cut(query)
    places = {each.id: [cut(text) for text in _places(each)] for each in questions}
    rarity = {word: _rarity(word, list(places.values())) for word in asked}
    whole = sum(rarity.values())
    hits = []
    for question in questions:
        held = {word: _best(word, places[question.id]) for word in asked}
        score = sum(rarity[word] * best for word, best in held.items()) / whole if whole else 0.0
        if score:
            hits.append(Hit(question, round(score, 4), _line(question, asked, cut)))
    return tuple(sorted(hits, key=lambda hit: (-hit.score, hit.question.id)))


def _places(question: Question) -> tuple[str, str, str]:
    trigger = question.trigger.text if question.trigger else ""
    middle = (question.hypothesis, trigger, question.answer or "")
    return " ".join((question.title, *question.tags)), " ".join(middle), question.body


def _best(word: str, places: Sequence[set[str]]) -> float:
    return max(
        (weight for weight, words in zip(_WEIGHTS, places, strict=True) if _stands(word, words)),
        default=0.0,
    )


def _stands(word: str, words: set[str]) -> bool:
    if word in words:
        return True
    return len(word) >= _BEGINNING and any(each.startswith(word) for each in words)


def _rarity(word: str, questions: Sequence[Sequence[set[str]]]) -> float:
    holding = sum(any(_stands(word, words) for words in places) for places in questions)
    return math.log1p(len(questions) / (holding or 1))


def _line(question: Question, asked: set[str], cut: Callable[[str], set[str]]) -> str:
    lines = (question.hypothesis, *question.body.splitlines(), question.answer or "")
    best = max((*lines, question.title), key=lambda line: len(asked & cut(line)))
    line = " ".join(best.split())
    return line if len(line) <= _SNIPPET else f"{line[: _SNIPPET - 1]}…"
