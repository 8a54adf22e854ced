"""The words of an index: in how many of its rows each stands, and which rows have a question's.

An index is an SQLite database with a full-text table `words` (page, trail, heading, prose, code)
and a table `vocabulary` over it, whatever the rows are: sections of pages, or things that exist.
Its table `meta` (name, value) says of which version it is.
"""

from __future__ import annotations

import math
import re
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from kdgat.knowledge.question import Question

WORDS_SQL = """
create virtual table words using fts5(
  page, trail, heading, prose, code, tokenize="porter unicode61 remove_diacritics 2"
);
create virtual table vocabulary using fts5vocab(words, row);
"""
_COLUMNS = (1.0, 1.0, 2.0, 1.0, 1.0)
"""Weights of page, trail, heading, prose and code."""
WORTH_OF_WORDS = 0.85
"""What all of a question's words are worth beside a cosine of 1."""
_STRANGE = 0.3
"""Share of an expansion's score that counts."""
_SATURATED = 2.2
"""The most that bm25 (k1 = 1.2) gives a word, as a multiple of its rarity."""
_Index = TypeVar("_Index")


class Words:
    """Counts and scores over the `size` rows of a database's full-text table."""

    def __init__(self, database: sqlite3.Connection, size: int) -> None:
        self._database = database
        self.size = size
        self._counts: dict[str, int] = {}

    @cached_property
    def stems(self) -> set[str]:
        """Every word of the rows, as the index writes it."""
        return {row[0] for row in self._database.execute("select term from vocabulary")}

    def count(self, phrase: str) -> int:
        """In how many rows a word or phrase stands."""
        if phrase not in self._counts:
            (number,) = self._database.execute(
                "select count(*) from words where words match ?", (_quoted(phrase),)
            ).fetchone()
            self._counts[phrase] = number
        return self._counts[phrase]

    def rarity(self, phrase: str) -> float:
        """How much a word tells: one that stands nowhere would have told the most."""
        number = self.count(phrase)
        return math.log((self.size - number + 0.5) / (number + 0.5) + 1)

    def scores(self, phrases: Sequence[str]) -> list[tuple[int, float]]:
        """Rows that have one of the phrases, with bm25."""
        if not phrases:
            return []
        found = self._database.execute(
            f"select rowid, -bm25(words, {', '.join(map(str, _COLUMNS))}) from words "
            "where words match ?",
            (" OR ".join(map(_quoted, phrases)),),
        )
        return found.fetchall()

    def shares(self, question: Question) -> dict[int, float]:
        """bm25 of the rows that have some of a question, as a share of what it could have had."""
        words = [term.word for term in question.terms]
        others = [other for term in question.terms for other in term.others]
        whole = _SATURATED * sum(map(self.rarity, words)) or 1.0
        shares: dict[int, float] = {}
        rated = (
            ([*words, *question.phrases], WORTH_OF_WORDS),
            (others, WORTH_OF_WORDS * _STRANGE),
        )
        for phrases, share in rated:
            for number, score in self.scores(phrases):
                shares[number] = shares.get(number, 0.0) + share * score / whole
        return shares

    def covered(self, question: Question, number: int) -> float:
        """The share of a question's weight that stands in a row."""
        held = whole = 0.0
        for term in question.terms:
            weight = self.rarity(term.word)
            whole += weight
            match = " OR ".join(map(_quoted, (term.word, *term.others)))
            row = self._database.execute(
                "select 1 from words where words match ? and rowid = ?", (match, number)
            ).fetchone()
            held += weight if row else 0.0
        return held / whole if whole else 0.0


def opened(
    path: Path, version: str, made: Callable[[sqlite3.Connection, Mapping[str, str]], _Index]
) -> _Index | None:
    """What is made of an index file, read whole into memory, and of its `meta`.

    None where there is none that this version can read: such a file is made again.
    """
    try:
        data = path.read_bytes()
    except OSError:
        return None
    # Another process may show the same connection to its threads, one at a time.
    database = sqlite3.connect(":memory:", check_same_thread=False)
    try:
        database.deserialize(data)
        meta = dict(database.execute("select name, value from meta"))
        if meta.get("version") != version:
            raise ValueError("another version")
        return made(database, meta)
    except (sqlite3.Error, ValueError, KeyError, TypeError):
        database.close()
        return None


def _quoted(phrase: str) -> str:
    return '"' + re.sub(r'["\0]', " ", phrase) + '"'
