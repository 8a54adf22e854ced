"""A section as each half of the search sees it: columns of words, and one text to embed.

A model of sentences learns little from signs, and code is mostly signs, of which each is a token:
what is embedded is the prose, and every word of the code once. On the lab's guide that is half the
tokens, with the same answers (decision 0020).
"""

from __future__ import annotations

import re

from kdgat.knowledge.chunks import Page, Section
from kdgat.knowledge.markdown import inline

_CODE = re.compile(r"```[^\n]*\n(.*?)(?:```|\Z)", re.DOTALL)
_WORD = re.compile(r"[A-Za-z]{2,}")
_ADDRESS = re.compile(r"https?://\S+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_HUMPED = re.compile(r"\b\w*[a-z][A-Z]\w*\b")
_TRAIL = 2
"""Headings above a section that its vector knows of."""


def embedded_text(section: Section) -> str:
    """What a section's vector is made of: its headings, its prose and its code's words."""
    seen: set[str] = set()
    parts = [f"{'. '.join((*section.trail[-_TRAIL:], section.heading))}."]
    for unit in section.units:
        for number, piece in enumerate(_CODE.split(unit.text)):
            parts.append(_new_words(piece, seen) if number % 2 else _prose(piece))
    return " ".join(" ".join(parts).split())


def lexical_row(page: Page, section: Section, title: str) -> tuple[str, str, str, str, str]:
    """Page, trail, heading, prose and code of a section; `title` is its page's in the menu."""
    prose = [each.text for each in section.units if each.kind != "code"]
    code = [each.text for each in section.units if each.kind == "code"]
    leads = dict.fromkeys(each.lead for each in section.units if each.lead)
    return (
        with_parts(" ".join((page.title, title, *page.tags))),
        with_parts(" ".join(section.trail[1:])),
        with_parts(section.heading),
        with_parts("\n".join((*leads, *prose))),
        with_parts("\n".join(code)),
    )


def with_parts(text: str) -> str:
    """`text` and, after it, the parts of names such as MLPClassifier."""
    parts = [_HUMP.sub(" ", word) for word in _HUMPED.findall(text)]
    return f"{text} {' '.join(parts)}" if parts else text


def _prose(text: str) -> str:
    plain = inline(_ADDRESS.sub("", text.replace("\n", " ").replace("|", " ")))
    return re.sub(r"[^\w.,?']+", " ", plain)


def _new_words(code: str, seen: set[str]) -> str:
    words = dict.fromkeys(_WORD.findall(code))
    fresh = [word for word in words if word.lower() not in seen]
    seen.update(word.lower() for word in fresh)
    return " ".join(fresh)
