"""A page to sections: what is indexed, found and shown.

A section goes from a heading of level 1 to 3 to the next such; deeper headings stay within, where
a section of their own would be a line or two.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from kdgat.knowledge.markdown import (
    ABBREVIATION,
    Heading,
    Unit,
    headings,
    inline,
    links,
    own_anchors,
    units,
    visible,
)

DEEPEST = 3
_REVIEWED = re.compile(r"<!--\s*last[-_ ]reviewed:\s*(\d{4}-\d{2}-\d{2})\s*-->", re.IGNORECASE)
_DATES = ("last_reviewed", "last-reviewed", "reviewed", "updated", "date")
_TERM = re.compile(r"^(terms?|abbreviations?|acronyms?|words?|jargon|concepts?)$", re.IGNORECASE)
_MEANING = re.compile(
    r"^(meanings?|definitions?|stands for|what it means|expansion|explanation|description)$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it, up to the next."""

    heading: str
    anchor: str
    level: int
    trail: tuple[str, ...]
    """Headings above it, the page's title first."""
    line: int
    units: tuple[Unit, ...]


@dataclass(frozen=True)
class Page:
    """What a page says, and to where it leads."""

    title: str
    sections: tuple[Section, ...]
    tags: tuple[str, ...] = ()
    reviewed: str | None = None
    """The day it was last looked at, as the page says."""
    links: tuple[tuple[int, str], ...] = ()
    anchors: frozenset[str] = frozenset()
    terms: Mapping[str, str] = field(default_factory=dict)
    """Abbreviations and glossary rows: the short word, and what it means."""
    problems: tuple[str, ...] = ()


def read_page(text: str, name: str) -> Page:
    """The page of a Markdown text; `name` is its title where it has no other."""
    meta, body, offset, problem = front_matter(text)
    seen = visible(body)
    lines = seen.split("\n")
    found = headings(lines)
    top = next((each for each in found if each.level == 1), None)
    title = str(meta.get("title") or (top.text if top else "") or name)
    sections = tuple(_sections(lines, found, title, offset))
    return Page(
        title=title,
        sections=sections,
        tags=_tags(meta),
        reviewed=_reviewed(meta, body),
        links=tuple((line + offset, target) for line, target in links(seen)),
        anchors=frozenset({each.anchor for each in found} | own_anchors(seen)),
        terms=dict(_terms(lines, sections)),
        problems=(problem,) if problem else (),
    )


def front_matter(text: str) -> tuple[Mapping[str, Any], str, int, str | None]:
    """The settings above a page, the rest, the number of lines cut off, and what is wrong."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    if not text.startswith("---\n"):
        return {}, text, 0, None
    match = re.match(
        r"---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", text, re.DOTALL | re.MULTILINE
    )
    if match is None:
        # A ruler, perhaps: then what follows is text.
        begun = re.match(r"---\n[\w-]+:", text)
        return {}, text[4:], 1, "front matter has no end; read as text" if begun else None
    import yaml

    lines = match[0].count("\n")
    try:
        meta = yaml.safe_load(match[1])
    except yaml.YAMLError as error:
        why = str(getattr(error, "problem", None) or error).split("\n")[0]
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 2}" if mark else ""
        return {}, text[match.end() :], lines, f"front matter is no YAML{where} ({why}); left out"
    if meta is None:
        meta = {}
    if not isinstance(meta, dict):
        return {}, text[match.end() :], lines, "front matter is no table of settings; left out"
    return meta, text[match.end() :], lines, None


def _sections(
    lines: Sequence[str], found: Sequence[Heading], title: str, offset: int
) -> Iterator[Section]:
    cuts = [each for each in found if 1 <= each.level <= DEEPEST]
    before = lines[: cuts[0].line] if cuts else lines
    opening = tuple(units(before))
    if opening:
        yield Section(title, "", 1, (), offset + 1, opening)
    above: list[Heading] = []
    for number, each in enumerate(cuts):
        end = cuts[number + 1].line if number + 1 < len(cuts) else len(lines)
        begin = each.line + 1
        if begin < len(lines) and re.match(r"^(=+|-+)\s*$", lines[begin]):
            begin += 1
        above = [higher for higher in above if higher.level < each.level]
        trail = [higher.text for higher in above]
        if not trail or trail[0] != title:
            trail.insert(0, title)
        if each.level == 1 and each.text == title:
            trail = []
        yield Section(
            heading=each.text,
            anchor=each.anchor,
            level=each.level,
            trail=tuple(trail),
            line=offset + each.line + 1,
            units=tuple(units(lines[begin:end])),
        )
        above.append(each)


def _terms(lines: Sequence[str], sections: Sequence[Section]) -> Iterator[tuple[str, str]]:
    for line in lines:
        match = ABBREVIATION.match(line)
        if match:
            yield match[1], match[2]
    for section in sections:
        for unit in section.units:
            if unit.kind != "row":
                continue
            head = _cells(unit.lead.split("\n")[-1])
            row = _cells(unit.text)
            if len(head) > 1 and len(row) > 1 and _TERM.match(head[0]) and _MEANING.match(head[1]):
                yield row[0], row[1]


def _cells(row: str) -> list[str]:
    return [inline(cell) for cell in row.strip("| ").split(" | ")]


def _tags(meta: Mapping[str, Any]) -> tuple[str, ...]:
    tags = meta.get("tags")
    return tuple(map(str, tags)) if isinstance(tags, list) else ()


def _reviewed(meta: Mapping[str, Any], body: str) -> str | None:
    for name in _DATES:
        value = meta.get(name)
        if isinstance(value, dict):
            value = value.get("updated") or value.get("created")
        if isinstance(value, date):
            return value.isoformat()[:10]
        if isinstance(value, str) and re.match(r"\d{4}-\d{2}-\d{2}", value):
            return value[:10]
    match = _REVIEWED.search(body)
    return match[1] if match else None
