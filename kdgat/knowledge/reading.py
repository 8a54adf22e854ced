"""A page or a section as it stands, and the pages near one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from kdgat.errors import KnowledgeError, did_you_mean
from kdgat.knowledge.chunks import front_matter
from kdgat.knowledge.index import pages_of
from kdgat.knowledge.links import page_of, target_of
from kdgat.knowledge.markdown import headings, visible
from kdgat.knowledge.scan import read_text
from kdgat.knowledge.search import Searchable
from kdgat.knowledge.snippets import Taken, expand
from kdgat.knowledge.sources import site_at

_LINKED = 0.3
"""What a link either way adds to a likeness."""


@dataclass(frozen=True)
class Passage:
    """A page, or a section with what lies below it."""

    source: str
    page: str
    heading: str
    anchor: str
    text: str
    """Markdown, quoted from the page; scripts and comments are left out."""
    anchors: tuple[str, ...]
    """Of the headings within."""


def passage(site: Searchable, page: str, anchor: str) -> Passage:
    """The text of a page, from an anchor's heading to the next of its level.

    Raises:
        KnowledgeError: the page has no such anchor, or can't be read.
    """
    where = site_at(site.name, site.index.root)
    try:
        text = read_text(where.docs / page)
    except (OSError, ValueError) as error:
        raise KnowledgeError(f"can't read the page '{page}': {error}", hint="ask again") from error
    bases = tuple(where.root / folder for folder in where.snippet_folders)
    _, body, _, _ = front_matter(expand(text, where.root, bases, Taken()))
    lines = visible(body).split("\n")
    found = headings(lines)
    first = next((n for n, each in enumerate(found) if not anchor or each.anchor == anchor), None)
    if anchor and first is None:
        raise KnowledgeError(
            f"the page '{page}' has no heading with the anchor '{anchor}'",
            hint=did_you_mean(anchor, [each.anchor for each in found], otherwise="read it whole"),
        )
    begin, end, level = 0, len(lines), 0
    if anchor and first is not None:
        begin, level = found[first].line, found[first].level
        after = (each.line for each in found[first + 1 :] if 0 < each.level <= max(level, 1))
        end = next(after, end)
    return Passage(
        source=site.name,
        page=page,
        heading=found[first].text if first is not None else "",
        anchor=anchor,
        text="\n".join(lines[begin:end]).strip("\n"),
        anchors=tuple(each.anchor for each in found if begin <= each.line < end),
    )


def near_pages(site: Searchable, page: str, limit: int) -> list[tuple[str, str, float, str]]:
    """Path, title, likeness and reason of the pages nearest to one."""
    pages = pages_of(site.index)
    there = _linked(page, pages[page].links, pages)
    back = {name for name, each in pages.items() if page in _linked(name, each.links, pages)}
    alike = _likeness(site, page)
    found = []
    for name, each in pages.items():
        if name == page:
            continue
        score = alike.get(name, 0.0) + _LINKED * ((name in there) + (name in back))
        reasons = ["linked from it"] * (name in there) + ["links to it"] * (name in back)
        if score > 0:
            found.append((name, each.title, round(score, 3), ", ".join(reasons) or "alike"))
    return sorted(found, key=lambda item: -item[2])[:limit]


def _linked(page: str, links: tuple[tuple[int, str], ...], pages: Collection[str]) -> Counter[str]:
    targets = (target_of(page, link) for _, link in links)
    names = (page_of(target.path, pages) for target in targets if target)
    return Counter(name for name in names if name)


def _likeness(site: Searchable, page: str) -> dict[str, float]:
    """The cosine of the mean vectors of two pages; nothing where there are no vectors."""
    if not site.index.model:
        return {}
    import numpy as np

    rows = site.index.database.execute("select page from section order by id")
    owners = [row[0] for row in rows]
    means = {}
    for name in dict.fromkeys(owners):
        mean = site.matrix[[number for number, owner in enumerate(owners) if owner == name]].mean(0)
        means[name] = mean / np.linalg.norm(mean)
    if page not in means:
        return {}
    return {name: float(mean @ means[page]) for name, mean in means.items()}
