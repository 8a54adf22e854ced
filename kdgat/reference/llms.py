"""llms.txt: the site's pages with a line each, for a reader that is a language model.

The form is that of https://llmstxt.org: a title, a quote that says what it is, and lists of links
below the headings of the navigation. Links go to the pages' Markdown, which lies in the site too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from kdgat.reference.markdown import first_sentence

_SAYS_NOTHING = re.compile(r"\s{4}|\s*([#|>*+-] |[#!|]|\d+\. |Date:|\*\*Source\.\*\*|\[.*\]\{)")
"""How a paragraph begins that is code, heading, table, list, date, source or a button."""


@dataclass(frozen=True)
class Entry:
    """A page as the index shows it."""

    section: str
    title: str
    path: str
    """Of its Markdown, relative to the site."""
    summary: str


def llms_text(title: str, what: str, entries: list[Entry]) -> str:
    """The index; sections and pages keep the order of the navigation."""
    lines = [f"# {title}", "", f"> {what}"]
    for section in dict.fromkeys(each.section for each in entries):
        lines += ["", f"## {section}", ""]
        for each in entries:
            if each.section == section:
                told = f": {each.summary}" if each.summary else ""
                lines.append(f"- [{each.title}]({each.path}){told}")
    return "\n".join(lines) + "\n"


def summary_of(markdown: str) -> str:
    """The first sentence that says something: no heading, date, source, code, table, list."""
    text = re.sub(r"<!--.*?-->", "", markdown, flags=re.DOTALL)
    text = re.sub(r"^(```|~~~).*?^\1\s*$", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"^</?\w[^>]*>\s*$", "", text, flags=re.MULTILINE)
    for paragraph in re.split(r"\n\s*\n", text):
        if _SAYS_NOTHING.match(paragraph):
            continue
        plain = _plain(paragraph)
        if plain:
            return first_sentence(plain)
    return ""


def _plain(paragraph: str) -> str:
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)(\{[^}]*\})?", r"\1", paragraph)
    text = re.sub(r"^\s*\*\*[A-Z][a-z ]*\.\*\*\s*", "", text)
    return " ".join(text.replace("**", "").split())
