"""What is wrong with a site: dead links, stale pages, orphans, passages that stand twice."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime

from kdgat.knowledge.chunks import Page
from kdgat.knowledge.links import Target, page_of, target_of
from kdgat.knowledge.scan import digest
from kdgat.knowledge.sources import Site, _settings, _texts

_LONG_CHARACTERS = 200
"""A passage that is shorter may well stand twice: a command, a hint."""
_ENTRANCES = ("index.md", "README.md", "tags.md", "404.md")


@dataclass(frozen=True)
class Finding:
    """One thing to mend."""

    kind: str
    """`dead link`, `stale`, `orphan` or `duplicate`."""
    source: str
    page: str
    line: int
    what: str


def findings(
    site: Site, pages: Mapping[str, Page], stale_days: int, today: date | None = None
) -> list[Finding]:
    """All findings of a site, by page."""
    found = [*_dead(site, pages), *_stale(site, pages, stale_days, today), *_orphans(site, pages)]
    return sorted(
        [*found, *_twice(site, pages)], key=lambda each: (each.page, each.line, each.kind)
    )


def _dead(site: Site, pages: Mapping[str, Page]) -> Iterator[Finding]:
    generated = _generated(site)
    for name, page in pages.items():
        for line, link in page.links:
            target = target_of(name, link)
            problem = _problem(site, pages, generated, target) if target else None
            if problem:
                yield Finding("dead link", site.name, name, line, f"'{link}': {problem}")
    for name in site.nav:
        there = name in pages or name in generated or (site.docs / name).exists()
        if site.has_nav and not there:
            file = site.config.name if site.config else "mkdocs.yml"
            yield Finding("dead link", site.name, file, 0, f"'{name}' of the navigation is no page")


def _generated(site: Site) -> frozenset[str]:
    """Pages that the site's build makes, by `generated_pages` below `extra` of its settings."""
    settings = _settings(site.config)[0] if site.config else {}
    extra = settings.get("extra")
    return frozenset(_texts(extra.get("generated_pages")) if isinstance(extra, dict) else ())


def _problem(
    site: Site, pages: Mapping[str, Page], generated: Collection[str], target: Target
) -> str | None:
    page = page_of(target.path, pages)
    if page is None:
        # What anchors it will have, nobody knows before it is made.
        if page_of(target.path, generated):
            return None
        file = site.docs / target.path
        inside = file.resolve().is_relative_to(site.root)
        return None if inside and file.exists() else f"there is no '{target.path}'"
    if not target.anchor or target.anchor in pages[page].anchors:
        return None
    # A tab's or a search's own address.
    if target.anchor.startswith(("__tabbed", "fnref", ":~:")):
        return None
    return f"'{page}' has no anchor '{target.anchor}'"


def _stale(
    site: Site, pages: Mapping[str, Page], days: int, today: date | None
) -> Iterator[Finding]:
    now = today or datetime.now(UTC).date()
    for name, page in pages.items():
        if page.reviewed:
            try:
                age = (now - date.fromisoformat(page.reviewed)).days
            except ValueError:
                continue
            if age > days:
                what = f"last reviewed on {page.reviewed}, {age} days ago"
                yield Finding("stale", site.name, name, 1, what)


def _orphans(site: Site, pages: Mapping[str, Page]) -> Iterator[Finding]:
    reached = set(site.nav) if site.has_nav else set()
    for name, page in pages.items():
        targets = (target_of(name, link) for _, link in page.links)
        names = {page_of(target.path, pages) for target in targets if target}
        reached |= {each for each in names if each and each != name}
    for name in pages:
        taken_in = name in site.appended or not pages[name].sections
        if name not in reached and name.rpartition("/")[2] not in _ENTRANCES and not taken_in:
            where = "neither in the navigation nor linked" if site.has_nav else "not linked"
            yield Finding("orphan", site.name, name, 1, f"{where} from another page")


def _twice(site: Site, pages: Mapping[str, Page]) -> Iterator[Finding]:
    first: dict[str, tuple[str, int]] = {}
    for name, page in pages.items():
        for section in page.sections:
            for unit in section.units:
                plain = "".join(unit.text.lower().split())
                if len(plain) < _LONG_CHARACTERS or unit.kind == "row":
                    continue
                key = digest(plain.encode())
                at = first.setdefault(key, (name, section.line))
                if at != (name, section.line):
                    what = f"'{section.heading}' repeats {at[0]}, line {at[1]}: {unit.text[:60]!r}"
                    yield Finding("duplicate", site.name, name, section.line, what)
