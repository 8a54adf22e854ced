"""Search: words and meaning, added as shares of what a question could have had.

Not by reciprocal rank: a rank hides whether the best of a list is good. A question in other words
than the pages' has little of its weight in any section, so there the words count little, and the
meaning decides; a pasted error has nearly all of it in one. Measured in decision 0020.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from kdgat.knowledge.chunks import Section
from kdgat.knowledge.extract import extract, stem
from kdgat.knowledge.index import IndexFile, sections_of
from kdgat.knowledge.question import STOP, Question, ask
from kdgat.knowledge.words import Words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kdgat.knowledge.vectors import Encoder

LOW = 0.5
"""Confidence below which an answer is flagged."""
_BUDGETS = (1700, 1100, 850)
_LATER = 450
"""Characters of the first, second, third and each later result."""


@dataclass(frozen=True)
class Found:
    """A section that was found."""

    source: str
    page: str
    section: Section
    score: float
    text: str


@dataclass(frozen=True)
class Answer:
    """Sections, best first, and how sure it is that they answer."""

    found: tuple[Found, ...]
    confidence: float


class Searchable(Words):
    """An index with what searches it: its vectors as a matrix, its counts of words."""

    def __init__(self, name: str, index: IndexFile) -> None:
        (size,) = index.database.execute("select count(*) from section").fetchone()
        super().__init__(index.database, size)
        self.name = name
        self.index = index

    @cached_property
    def matrix(self) -> NDArray[np.float32]:
        """The vectors of all sections `[sections, 384]`, in their order."""
        import numpy as np

        rows = self.index.database.execute(
            "select vector.value from section join vector on vector.name = section.vector "
            "order by section.id"
        )
        return np.frombuffer(b"".join(row[0] for row in rows), np.float32).reshape(self.size, -1)


def search(
    sites: Sequence[Searchable], text: str, *, limit: int, encoder: Encoder | None
) -> Answer:
    """The sections of all sites that answer a question best."""
    ranked: list[tuple[float, float, Searchable, int, Question]] = []
    for site in sites:
        if not site.size:
            continue
        question = ask(text, site.index.terms, site.count, lambda site=site: site.stems)
        ranked.extend(_ranked(site, question, max(limit, 3), encoder))
    ranked.sort(key=lambda each: -each[0])
    found: list[Found] = []
    covered = [0.0]
    for place, (score, _, site, number, question) in enumerate(ranked[:limit]):
        page, section = sections_of(site.index, [number])[number]
        weights = _weights(site, question)
        budget = _BUDGETS[place] if place < len(_BUDGETS) else _LATER
        shown = extract(section.units, weights, budget)
        found.append(Found(site.name, page, section, round(score, 4), shown))
        if place < 3:
            covered.append(site.covered(question, number))
    if not ranked:
        return Answer((), 0.0)
    cosine = max(each[1] for each in ranked[:3])
    _, _, site, _, question = ranked[0]
    return Answer(tuple(found), _confidence(site, question, cosine, max(covered), encoder))


def _ranked(
    site: Searchable, question: Question, limit: int, encoder: Encoder | None
) -> list[tuple[float, float, Searchable, int, Question]]:
    """Score, cosine, site and number of a site's best sections."""
    scores = site.shares(question)
    if encoder is None or site.index.model != encoder.name:
        best = sorted(scores, key=lambda number: -scores[number])[:limit]
        return [(scores[number], 0.0, site, number, question) for number in best]
    import numpy as np

    cosines = site.matrix @ encoder.question(question.text)
    total = cosines.copy()
    if scores:
        total[list(scores)] += np.array(list(scores.values()), np.float32)
    best = np.argsort(-total)[:limit]
    return [(float(total[n]), float(cosines[n]), site, int(n), question) for n in best]


def _weights(site: Searchable, question: Question) -> dict[str, float]:
    """The question's words and what stands for them, with what each tells."""
    weights: dict[str, float] = {}
    for term in question.terms:
        for word in (term.word, *(part for other in term.others for part in other.split())):
            if word not in STOP:
                weights[stem(word)] = max(weights.get(stem(word), 0.0), site.rarity(word))
    return weights


def _confidence(
    site: Searchable, question: Question, cosine: float, covered: float, encoder: Encoder | None
) -> float:
    """How likely the docs answer: near in meaning, in the same words, and no name they never say.

    A logistic curve through questions with and without answers (decision 0020); 0.5 is its middle.
    """
    if encoder is None or not site.index.model:
        return round(covered, 3)
    strange = [
        term.word
        for term in question.terms
        if not term.others and not site.count(term.word) and encoder.is_rare(term.word)
    ]
    share = len(strange) / max(1, len(question.terms))
    return round(1 / (1 + math.exp(-(10 * cosine + 3.7 * covered - 9 * share - 3.8))), 3)
