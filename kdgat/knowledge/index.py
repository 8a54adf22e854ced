"""A site's index: one SQLite file, written aside and renamed, read whole into memory.

Nothing is ever changed in place, so no lock is needed, on NFS either: of two processes that index
at once each writes a whole file and the later rename stays. What an old index knows of an
unchanged page (its sections) and of an unchanged text (its vector) is taken over.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from kdgat.knowledge.chunks import Page, Section, read_page
from kdgat.knowledge.markdown import Unit
from kdgat.knowledge.passages import embedded_text, lexical_row
from kdgat.knowledge.scan import (
    Scan,
    Stamp,
    decoded,
    digest,
    read_page_bytes,
    read_text,
    restless,
    scan,
    stamps_of,
)
from kdgat.knowledge.snippets import Taken, expand
from kdgat.knowledge.sources import Site
from kdgat.knowledge.vectors import Encoder
from kdgat.knowledge.words import WORDS_SQL, opened
from kdgat.ledger.files import atomic_path

VERSION = "1"
"""Of what is kept and how pages are cut: another one is made anew."""
_SCHEMA = """
create table meta (name text primary key, value text not null);
create table page (path text primary key, key text not null, value text not null);
create table section (
  id integer primary key, page text not null, vector text not null, value text not null
);
create table vector (name text primary key, value blob not null);
"""


@dataclass(frozen=True)
class Indexed:
    """What a site's index holds, and what was done for it."""

    pages: int
    chunks: int
    changed: int
    """Pages that were read anew."""
    embedded: int
    """Texts whose vectors were reckoned anew."""
    skipped: tuple[tuple[str, str], ...]
    """Path and reason: pages that are left out, and parts of pages."""


@dataclass(frozen=True)
class IndexFile:
    """An index as it was read: a database in memory."""

    database: sqlite3.Connection
    root: Path
    docs: Path
    stamps: Mapping[str, Stamp]
    beside: Mapping[str, Stamp]
    """Files beside the pages, from the site's root."""
    digests: Mapping[str, str]
    made_ns: int
    model: str
    indexed: Indexed
    terms: Mapping[str, str]
    settled: set[str] = field(default_factory=set)
    """Files whose content was seen to be the indexed one after they had come to rest."""


def open_index(path: Path) -> IndexFile | None:
    """The index in a file; None where there is none that this version can read."""
    return opened(path, VERSION, _index_file)


def is_current(index: IndexFile, now: Scan) -> bool:
    """Whether the site is what the index was made of."""
    if now.pages != index.stamps or dict(stamps_of(index.root, [*index.beside])) != index.beside:
        return False
    moment_ns = time.time_ns()
    for name, stamp in (*index.stamps.items(), *index.beside.items()):
        # A page that could not be read has no digest; its stamp has to do.
        if name not in index.digests or name in index.settled:
            continue
        if restless(stamp, index.made_ns):
            try:
                if digest((index.root / name).read_bytes()) != index.digests[name]:
                    return False
            except OSError:
                return False
            if not restless(stamp, moment_ns):
                index.settled.add(name)
    return True


def write_index(site: Site, path: Path, old: IndexFile | None, encoder: Encoder | None) -> Indexed:
    """Index a site as it is now, with what an old index knows; the file is replaced whole.

    Raises:
        StorageError: the index can't be written.
    """
    made_ns = time.time_ns()
    found = scan(site.root, site.docs)
    skipped = [(site.config.name if site.config else ".", why) for why in site.problems]
    skipped.extend(found.skipped)
    known = dict(_pages(old)) if old else {}
    settings = digest(site.config.read_bytes()) if site.config else ""
    pages: dict[str, tuple[str, Page]] = {}
    digests: dict[str, str] = {}
    beside: set[str] = {site.config.name if site.config else "mkdocs.yml"}
    changed = 0
    for file in found.pages:
        name = (site.root / file).relative_to(site.docs).as_posix()
        taken = Taken()
        try:
            data = read_page_bytes(site.root / file)
            digests[file] = digest(data)
            text = decoded(data)
        except (OSError, ValueError) as error:
            skipped.append((name, _why(error)))
            continue
        bases = tuple(site.root / folder for folder in site.snippet_folders)
        whole = expand(text, site.root, bases, taken)
        beside |= {_from(site.root, each) for each in taken.files}
        key = digest(f"{VERSION}\n{settings}\n{whole}".encode())
        if name in known and known[name][0] == key:
            pages[name] = known[name]
        else:
            changed += 1
            pages[name] = (key, read_page(whole, Path(name).stem))
        reasons = (*pages[name][1].problems, *taken.problems)
        skipped.extend((name, why) for why in reasons)
    terms = _terms(site, pages, beside)
    for name in beside:
        if (site.root / name).is_file():
            digests[name] = digest((site.root / name).read_bytes())
    rows = [(name, page, section) for name, (_, page) in pages.items() for section in page.sections]
    vectors, embedded = _vectors(rows, old, encoder)
    gone = len(set(known) - set(pages))
    result = Indexed(len(pages), len(rows), changed + gone, embedded, tuple(skipped))
    about = {
        "root": str(site.root), "docs": str(site.docs), "stamps": found.pages,
        "beside": dict(stamps_of(site.root, sorted(beside))), "digests": digests,
        "made_ns": made_ns, "model": encoder.name if encoder else "", "indexed": asdict(result),
        "terms": terms, "nav": site.nav if site.has_nav else None,
    }  # fmt: skip
    with atomic_path(path) as aside:
        _write(aside, about, pages, rows, vectors, site)
    return result


def sections_of(index: IndexFile, numbers: Sequence[int]) -> dict[int, tuple[str, Section]]:
    """Sections by number, with their pages."""
    marks = ",".join("?" * len(numbers))
    found = index.database.execute(
        f"select id, page, value from section where id in ({marks})", list(numbers)
    )
    return {number: (page, _section(json.loads(value))) for number, page, value in found}


def pages_of(index: IndexFile) -> dict[str, Page]:
    """All pages, by their path from the folder of pages."""
    return {name: page for name, (_, page) in _pages(index)}


def _index_file(database: sqlite3.Connection, meta: Mapping[str, str]) -> IndexFile:
    about = json.loads(meta["about"])
    indexed = about["indexed"]
    return IndexFile(
        database=database,
        root=Path(about["root"]),
        docs=Path(about["docs"]),
        stamps={name: tuple(stamp) for name, stamp in about["stamps"].items()},
        beside={name: tuple(stamp) for name, stamp in about["beside"].items()},
        digests=about["digests"],
        made_ns=about["made_ns"],
        model=about["model"],
        indexed=Indexed(**{**indexed, "skipped": tuple(map(tuple, indexed["skipped"]))}),
        terms=about["terms"],
    )


def _write(
    path: Path,
    about: Mapping[str, Any],
    pages: Mapping[str, tuple[str, Page]],
    rows: Sequence[tuple[str, Page, Section]],
    vectors: tuple[list[str], Mapping[str, bytes]],
    site: Site,
) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.executescript(
            "pragma journal_mode=off; pragma synchronous=off;" + _SCHEMA + WORDS_SQL
        )
        database.execute("begin")
        meta = {"version": VERSION, "about": json.dumps(about)}
        database.executemany("insert into meta values (?, ?)", meta.items())
        database.executemany(
            "insert into page values (?, ?, ?)",
            (
                (name, key, _dumped(replace(page, sections=())))
                for name, (key, page) in pages.items()
            ),
        )
        database.executemany(
            "insert into section values (?, ?, ?, ?)",
            (
                (number, name, vector, _dumped(section))
                for number, ((name, _, section), vector) in enumerate(
                    zip(rows, vectors[0], strict=True)
                )
            ),
        )
        database.executemany(
            "insert into words (rowid, page, trail, heading, prose, code) "
            "values (?, ?, ?, ?, ?, ?)",
            (
                (number, *lexical_row(page, section, site.nav.get(name, "")))
                for number, (name, page, section) in enumerate(rows)
            ),
        )
        database.executemany("insert into vector values (?, ?)", vectors[1].items())
        database.execute("commit")


def _vectors(
    rows: Sequence[tuple[str, Page, Section]], old: IndexFile | None, encoder: Encoder | None
) -> tuple[tuple[list[str], dict[str, bytes]], int]:
    """The name of each section's vector, the vectors, and how many are new."""
    if encoder is None:
        return ([""] * len(rows), {}), 0
    known: dict[str, bytes] = {}
    if old is not None and old.model == encoder.name:
        known = dict(old.database.execute("select name, value from vector"))
    names = []
    texts: dict[str, str] = {}
    for _, _, section in rows:
        text = embedded_text(section)
        names.append(digest(text.encode()))
        texts[names[-1]] = text
    new = [name for name in texts if name not in known]
    for name, vector in zip(new, encoder.encode([texts[name] for name in new]), strict=True):
        known[name] = vector
    return (names, {name: known[name] for name in texts}), len(new)


def _terms(site: Site, pages: Mapping[str, tuple[str, Page]], beside: set[str]) -> dict[str, str]:
    """The site's abbreviations and glossaries."""
    terms: dict[str, str] = {}
    for name in site.appended:
        for base in site.snippet_folders:
            file = site.root / base / name
            # mkdocs is started in the root, and many write the path from the pages' folder.
            for each in (file, site.docs / name):
                beside.add(_from(site.root, each))
                if each.is_file() and each.resolve().is_relative_to(site.root):
                    try:
                        terms.update(read_page(read_text(each), name).terms)
                    except (OSError, ValueError):
                        continue
    for _, page in pages.values():
        terms.update(page.terms)
    return terms


def _pages(index: IndexFile) -> Iterator[tuple[str, tuple[str, Page]]]:
    parts: dict[str, list[Section]] = {}
    for name, value in index.database.execute("select page, value from section order by id"):
        parts.setdefault(name, []).append(_section(json.loads(value)))
    for name, key, value in index.database.execute("select path, key, value from page"):
        made = json.loads(value)
        made["sections"] = tuple(parts.get(name, ()))
        made["links"] = tuple((line, target) for line, target in made["links"])
        made["anchors"] = frozenset(made["anchors"])
        for each in ("tags", "problems"):
            made[each] = tuple(made[each])
        yield name, (key, Page(**made))


def _section(made: dict[str, Any]) -> Section:
    made["trail"] = tuple(made["trail"])
    made["units"] = tuple(Unit(*unit) for unit in made["units"])
    return Section(**made)


def _dumped(value: Page | Section) -> str:
    made = {**value.__dict__}
    if isinstance(value, Section):
        made["units"] = [(unit.kind, unit.text, unit.lead) for unit in value.units]
    else:
        made["anchors"] = sorted(value.anchors)
    return json.dumps(made, ensure_ascii=False)


def _from(root: Path, file: Path) -> str:
    return Path(os.path.relpath(file, root)).as_posix()


def _why(error: OSError | ValueError) -> str:
    return f"can't be read: {error.strerror}" if isinstance(error, OSError) else str(error)
