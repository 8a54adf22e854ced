"""Things that exist and can be used, and the index that finds them: one SQLite file, read whole.

A thing is a command, a config field, a function of kdgat or of an installed package, a decision.
Kinds of which there are few have their vectors in the index. Of functions there are thousands: only
those that share a word with the question get a vector, when it is asked, so that the index is made
in the time it takes to read their sources. Written aside and renamed, like the index of a site.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from kdgat.knowledge.passages import with_parts
from kdgat.knowledge.question import Question, ask
from kdgat.knowledge.scan import digest
from kdgat.knowledge.words import WORDS_SQL, Words, opened
from kdgat.ledger.files import atomic_path

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kdgat.knowledge.vectors import Encoder

VERSION = "2"
_SCHEMA = """
create table meta (name text primary key, value text not null);
create table thing (id integer primary key, origin text not null, vector blob, value text not null);
"""
_EMBEDDED = frozenset({"command", "config field", "operation", "decision", "experiment"})
_CANDIDATES = 14
"""Things without a vector that get one when they are asked for."""
_SPOKEN = 60
"""Characters of a thing's line that its vector knows of."""


@dataclass(frozen=True)
class Thing:
    """Something that exists."""

    origin: str
    """Whose it is: `kdgat`, or a package with its version."""
    kind: str
    name: str
    place: str
    """`path:line`."""
    what: str
    use: str
    """An import line, a command, an override."""
    more: str = ""
    """Further words by which it is found."""
    distance: int = 0
    """0: kdgat's own; 1: required by it; 2: came along, for several; 3: installed all the same."""


@dataclass(frozen=True)
class Near:
    """A thing near a question."""

    thing: Thing
    score: float
    cosine: float
    covered: float
    """The share of the question's weight that it says."""


class Things(Words):
    """An index of things, open."""

    def __init__(self, database: sqlite3.Connection, meta: Mapping[str, str]) -> None:
        (size,) = database.execute("select count(*) from thing").fetchone()
        super().__init__(database, size)
        self.made_of: dict[str, list[int]] = json.loads(meta["made_of"])
        """What it was made of, by name; when that is another, it is made anew."""
        self.made_ns = int(meta["made_ns"])
        self.model = meta["model"]
        self.notes: tuple[str, ...] = tuple(json.loads(meta["notes"]))

    def all(self) -> list[Thing]:
        """Every thing, in order."""
        rows = self._database.execute("select value from thing order by id")
        return [Thing(**json.loads(value)) for (value,) in rows]

    def vectors(self) -> dict[str, bytes]:
        """The vectors that are kept, by the name of the text they are of."""
        rows = self._database.execute("select value, vector from thing where vector is not null")
        return {_text_name(Thing(**json.loads(value))): vector for value, vector in rows}

    @cached_property
    def _kept(self) -> tuple[list[int], NDArray[np.float32]]:
        """Numbers of the things that have a vector, and the vectors `[things, 384]`."""
        import numpy as np

        sql = "select id, vector from thing where vector is not null order by id"
        rows = self._database.execute(sql).fetchall()
        vectors = np.frombuffer(b"".join(vector for _, vector in rows), np.float32)
        return [number for number, _ in rows], vectors.reshape(len(rows), -1)

    def near(self, text: str, limit: int, encoder: Encoder | None) -> list[Near]:
        """The things nearest to a question, best first."""
        if not self.size:
            return []
        question = ask(text, {}, self.count, lambda: self.stems)
        shares = self.shares(question)
        cosines = self._cosines(text, shares, encoder)
        totals = {number: shares.get(number, 0.0) + cosines[number] for number in cosines}
        best = sorted(totals, key=lambda number: -totals[number])[:limit]
        return [self._near(number, totals[number], cosines[number], question) for number in best]

    def _near(self, number: int, score: float, cosine: float, question: Question) -> Near:
        return Near(self._thing(number), score, cosine, self.covered(question, number))

    def _thing(self, number: int) -> Thing:
        (value,) = self._database.execute(
            "select value from thing where id = ?", (number,)
        ).fetchone()
        return Thing(**json.loads(value))

    def _cosines(
        self, text: str, shares: Mapping[int, float], encoder: Encoder | None
    ) -> dict[int, float]:
        """Likeness in meaning of things with a vector, and of those with the question's words."""
        best = sorted(shares, key=lambda number: -shares[number])
        if encoder is None:
            return dict.fromkeys(best[:_CANDIDATES], 0.0)
        import numpy as np

        asked = encoder.question(text)
        cosines: dict[int, float] = {}
        if self.model == encoder.name:
            numbers, vectors = self._kept
            cosines.update(zip(numbers, (vectors @ asked).tolist(), strict=True))
        rest = [number for number in best if number not in cosines][:_CANDIDATES]
        made = encoder.encode([spoken(self._thing(number)) for number in rest])
        for number, vector in zip(rest, made, strict=True):
            cosines[number] = float(np.frombuffer(vector, np.float32) @ asked)
        return cosines


def open_things(path: Path) -> Things | None:
    """The index in a file; None where there is none that this version can read."""
    return opened(path, VERSION, Things)


def write_things(
    path: Path,
    things: Sequence[Thing],
    made_of: Mapping[str, Sequence[int]],
    made_ns: int,
    *,
    notes: Sequence[str] = (),
    encoder: Encoder | None = None,
    known: Mapping[str, bytes] | None = None,
) -> None:
    """Write an index of things, whole.

    Args:
        path: the file.
        things: what to index.
        made_of: stamps of what they were read from.
        made_ns: when reading began.
        notes: what could not be read, and why.
        encoder: makes their vectors; none are kept without it.
        known: vectors of an older index.

    Raises:
        StorageError: the index can't be written.
    """
    vectors = _vectors(things, encoder, known or {})
    meta = {
        "version": VERSION, "made_of": json.dumps(made_of), "made_ns": str(made_ns),
        "model": encoder.name if encoder else "", "notes": json.dumps(notes),
    }  # fmt: skip
    with (
        atomic_path(path) as aside,
        closing(sqlite3.connect(aside, isolation_level=None)) as database,
    ):
        database.executescript("pragma journal_mode=off; pragma synchronous=off;")
        database.executescript(_SCHEMA + WORDS_SQL + "begin;")
        database.executemany("insert into meta values (?, ?)", meta.items())
        database.executemany(
            "insert into thing values (?, ?, ?, ?)",
            (
                (number, thing.origin, vector, json.dumps(asdict(thing), ensure_ascii=False))
                for number, (thing, vector) in enumerate(zip(things, vectors, strict=True))
            ),
        )
        database.executemany(
            "insert into words (rowid, page, trail, heading, prose, code) "
            "values (?, ?, ?, ?, ?, ?)",
            ((number, *_row(thing)) for number, thing in enumerate(things)),
        )
        database.execute("commit")


def spoken(thing: Thing) -> str:
    """What a thing's vector is made of: its name as words, and its line."""
    name = " ".join(with_parts(_last(thing)).split()[-4:]).replace("_", " ")
    return f"{name}. {thing.what[:_SPOKEN]}"


def _last(thing: Thing) -> str:
    """The part of a name that tells: of a dotted one the last, of a command all but `kdgat`."""
    if thing.kind in ("command", "decision", "package"):
        return thing.name.removeprefix("kdgat ")
    return thing.name.rpartition(".")[2]


def _row(thing: Thing) -> tuple[str, str, str, str, str]:
    above = thing.name.removesuffix(_last(thing))
    return thing.origin, with_parts(above), with_parts(_last(thing)), thing.what, thing.more


def _vectors(
    things: Sequence[Thing], encoder: Encoder | None, known: Mapping[str, bytes]
) -> list[bytes | None]:
    if encoder is None:
        return [None] * len(things)
    embedded = [thing for thing in things if thing.kind in _EMBEDDED]
    texts = {_text_name(thing): spoken(thing) for thing in embedded}
    new = [name for name in texts if name not in known]
    fresh = encoder.encode([texts[name] for name in new])
    made = {**known, **dict(zip(new, fresh, strict=True))}
    return [made[_text_name(each)] if each.kind in _EMBEDDED else None for each in things]


def _text_name(thing: Thing) -> str:
    return digest(spoken(thing).encode())
