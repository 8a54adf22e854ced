"""Operations on documentation: bring indexes up to date, ask them, read pages, find what is wrong.

What pages say is data. It is quoted in results and never acted upon, whatever it asks for.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

from kdgat.errors import KnowledgeError, did_you_mean
from kdgat.knowledge import library
from kdgat.knowledge.checks import Finding, findings
from kdgat.knowledge.index import pages_of
from kdgat.knowledge.reading import Passage, near_pages, passage
from kdgat.knowledge.search import LOW, Answer, Searchable
from kdgat.knowledge.search import search as find
from kdgat.knowledge.sources import site_at, source_named
from kdgat.knowledge.troubles import essence
from kdgat.workspace import Workspace


@dataclass(frozen=True)
class SkippedPage:
    """A page, or a part of one, that the index does without."""

    page: str
    reason: str


@dataclass(frozen=True)
class SourceReport:
    """One source after a sync."""

    source: str
    root: str
    pages: int
    chunks: int
    changed: int
    """Pages that were read anew, or that are gone."""
    embedded: int
    skipped: tuple[SkippedPage, ...]
    problem: str | None
    """Why the source could not be indexed, or not be brought up to date."""
    seconds: float


@dataclass(frozen=True)
class SyncReport:
    """All sources after a sync."""

    sources: tuple[SourceReport, ...]
    seconds: float


@dataclass(frozen=True)
class DocsResult:
    """A section that was found."""

    source: str
    page: str
    """From the site's folder of pages."""
    heading: str
    anchor: str
    score: float
    text: str
    """What of it answers, quoted from the page."""


@dataclass(frozen=True)
class SearchReport:
    """What the docs say to a question."""

    results: tuple[DocsResult, ...]
    confidence: float
    """From 0 to 1: how likely the docs answer it at all."""
    low_confidence: bool
    notes: tuple[str, ...]
    """Sources that could not be asked, and why."""


@dataclass(frozen=True)
class RelatedPage:
    """A page near another one."""

    source: str
    page: str
    title: str
    score: float
    why: str


@dataclass(frozen=True)
class RelatedReport:
    """Pages near one."""

    source: str
    page: str
    items: tuple[RelatedPage, ...]


@dataclass(frozen=True)
class CheckReport:
    """What is wrong with a site's pages."""

    findings: tuple[Finding, ...]
    pages: int
    seconds: float

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


def sync_docs(ws: Workspace, *, path: Path | None = None) -> SyncReport:
    """Index the listed sites, or the one in a folder under the folder's name.

    Only pages that changed are read anew, and only texts that changed get new vectors.

    Raises:
        KnowledgeError: the list is wrong, or the folder is no site.
        StorageError: the home can't be written.
    """
    began = time.monotonic()
    sources = (library.given(ws, path),) if path else library.sources(ws)
    if not sources:
        raise KnowledgeError(
            "no documentation source is listed",
            hint="list one in knowledge/sources.toml, or give --path SITE",
        )
    done = tuple(_source_report(library.sync(ws, source)) for source in sources)
    return SyncReport(done, round(time.monotonic() - began, 3))


def search_docs(
    ws: Workspace, query: str, *, limit: int = 5, source: str | None = None
) -> SearchReport:
    """The sections that answer a question, best first, from the pages as they are now.

    Args:
        ws: the workspace.
        query: a question, keywords, or a pasted error.
        limit: at most so many sections.
        source: only this source.

    Raises:
        KnowledgeError: the question is empty, or there is no such source.
    """
    if not query.strip():
        raise KnowledgeError("the question is empty", hint='kdgat docs search "a question"')
    sites, notes = _sites(ws, source)
    answer = find(sites, query, limit=limit, encoder=library.model())
    return _search_report(answer, notes)


def troubleshoot(
    ws: Workspace, text: str, *, limit: int = 5, source: str | None = None
) -> SearchReport:
    """What the docs say to an error's text, a traceback or a log; its telling lines are asked.

    Raises:
        KnowledgeError: the text is empty, or there is no such source.
    """
    return search_docs(ws, essence(text), limit=limit, source=source)


def read_docs(ws: Workspace, page: str, *, source: str | None = None) -> Passage:
    """A page, or the section of an anchor with what lies below it (`page.md#anchor`).

    Raises:
        KnowledgeError: there is no such page or anchor, or several sources have the page.
    """
    name, _, anchor = page.partition("#")
    site, name = _page(ws, name, source)
    return passage(site, name, anchor)


def related_docs(
    ws: Workspace, page: str, *, limit: int = 5, source: str | None = None
) -> RelatedReport:
    """Pages near one: linked from it, linking to it, or alike in meaning.

    Raises:
        KnowledgeError: there is no such page.
    """
    site, name = _page(ws, page.partition("#")[0], source)
    near = near_pages(site, name, limit)
    items = (RelatedPage(site.name, *each) for each in near)
    return RelatedReport(site.name, name, tuple(items))


def check_docs(
    ws: Workspace, *, path: Path | None = None, source: str | None = None, stale_days: int = 365
) -> CheckReport:
    """What is wrong with a site: dead links, stale pages, orphans, passages that stand twice.

    Args:
        ws: the workspace.
        path: the site in this folder; default: the sources.
        source: only this source.
        stale_days: a page whose own date of review is older is stale.

    Raises:
        KnowledgeError: there is no such source.
    """
    began = time.monotonic()
    if path:
        given = library.given(ws, path)
        library.sync(ws, given)
        source = given.name
    sites, _ = _sites(ws, source)
    found: list[Finding] = []
    pages = 0
    for site in sites:
        all_pages = pages_of(site.index)
        pages += len(all_pages)
        found.extend(findings(site_at(site.name, site.index.root), all_pages, stale_days))
    return CheckReport(tuple(found), pages, round(time.monotonic() - began, 3))


def _sites(ws: Workspace, source: str | None) -> tuple[list[Searchable], list[str]]:
    names = tuple(each.name for each in library.sources(ws))
    if not names:
        raise KnowledgeError(
            "no documentation source is listed",
            hint="list one in knowledge/sources.toml, or run `kdgat docs sync --path SITE`",
        )
    wanted = [source_named(names, source)] if source else None
    sites, notes = library.open_sites(ws, wanted)
    if source and not sites:
        problem, _, hint = "; ".join(notes).rpartition("; ")
        raise KnowledgeError(problem or hint, hint=hint)
    return sites, notes


def _page(ws: Workspace, page: str, source: str | None) -> tuple[Searchable, str]:
    sites, _ = _sites(ws, source)
    wanted = re.sub(r"^(\./)?(docs/)?", "", page)
    candidates = (wanted, f"{wanted.strip('/')}.md", f"{wanted.strip('/')}/index.md".lstrip("/"))
    known: list[str] = []
    hits = []
    for site in sites:
        names = [row[0] for row in site.index.database.execute("select path from page")]
        known.extend(names)
        hits.extend((site, each) for each in candidates if each in names)
    if not hits:
        raise KnowledgeError(
            f"there is no page '{page}'" + (f" in '{source}'" if source else ""),
            hint=did_you_mean(wanted, known, otherwise="`kdgat docs search` names pages"),
        )
    owners = sorted({site.name for site, _ in hits})
    if len(owners) > 1:
        raise KnowledgeError(
            f"several sources have a page '{page}'", hint=f"give --source: {', '.join(owners)}"
        )
    return hits[0]


def _source_report(done: library.Synced) -> SourceReport:
    indexed = done.indexed
    skipped = (SkippedPage(page, why) for page, why in (indexed.skipped if indexed else ()))
    return SourceReport(
        source=done.source,
        root=done.root,
        pages=indexed.pages if indexed else 0,
        chunks=indexed.chunks if indexed else 0,
        changed=indexed.changed if indexed else 0,
        embedded=indexed.embedded if indexed else 0,
        skipped=tuple(skipped),
        problem=done.problem,
        seconds=done.seconds,
    )


def _search_report(answer: Answer, notes: list[str]) -> SearchReport:
    results = tuple(
        DocsResult(
            source=each.source,
            page=each.page,
            heading=each.section.heading,
            anchor=each.section.anchor,
            score=each.score,
            text=each.text,
        )
        for each in answer.found
    )
    low = not results or answer.confidence < LOW
    return SearchReport(results, answer.confidence, low, tuple(notes))
