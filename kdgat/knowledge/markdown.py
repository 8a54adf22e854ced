"""A page's text to headings and units, the way Python-Markdown with mkdocs-material reads it.

A unit is the least that is shown alone: a paragraph, a list item, a fence, a table's row. What
carries no text for a reader (scripts, comments, attribute lists, diagrams' source) is left out.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

FENCE = re.compile(r"^(\s*(?:>\s*)*)(`{3,}|~{3,})(.*)$")
_HEADING = re.compile(r"^(#{1,6})(?!#)\s*(.+?)\s*#*\s*$")
_SETEXT = re.compile(r"^(=+|-+)\s*$")
_BOX = re.compile(r'^(?:!!!|\?\?\?\+?)\s*([\w-]+)?(?:\s+[\w\s-]*)?(?:\s*"([^"]*)")?\s*$')
_TAB = re.compile(r'^===[!+]*\s*"([^"]*)"\s*$')
_ITEM = re.compile(r"^(?:[-*+]|\d+[.)])\s+")
_ROW = re.compile(r"^\s*\|.*\|\s*$")
_RULER = re.compile(r"^\s*\|?[\s:|-]*-[\s:|-]*\|?\s*$")
_RULE = re.compile(r"^\s*([-*_])(\s*\1){2,}\s*$")
ABBREVIATION = re.compile(r"^\*\[([^\]]+)\]:\s*(.*\S)\s*$")
_REFERENCE = re.compile(r"^\s{0,3}\[[^\]]+\]:\s+\S+.*$")
_PASSED_OVER = (_RULE, _REFERENCE, ABBREVIATION)
_ATTRIBUTES = re.compile(r"\{:?\s*([#.][^}\n]*|[\w-]+=[^}\n]*)\}")
_HIDDEN = re.compile(r"<(script|style|svg|iframe)\b.*?(?:</\1\s*>|\Z)", re.DOTALL | re.IGNORECASE)
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
_IMAGE = re.compile(r"!\[([^\]]*)\]\([^)]*\)")
_LINK = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\(\s*<?([^()\s>]*(?:\([^()]*\)[^()\s]*)*)[^)]*\)")
_EMOJI = re.compile(r":[a-z0-9]+(?:[-_][a-z0-9]+)*:")
_KEYS = re.compile(r"\+\+([a-z0-9+\"-]+?)\+\+")
_UNSAID = frozenset({"mermaid"})
"""Fences that a reader sees as a picture."""


@dataclass(frozen=True)
class Unit:
    """A piece of a section in Markdown; `lead` is what it can't be understood without."""

    kind: str
    """`text`, `item`, `code` or `row`."""
    text: str
    lead: str = ""
    """The table's head, or the title of the box or tab around it."""


@dataclass(frozen=True)
class Heading:
    """A heading, and the anchor that the site gives it."""

    level: int
    text: str
    anchor: str
    line: int


def visible(text: str) -> str:
    """Without what a reader never sees: scripts, styles, comments. Fences are left as they are.

    Signs that steer a terminal go everywhere: a page is printed there.
    """
    text = _STEERING.sub("", text)
    parts = []
    for code, lines in _fenced(text.split("\n")):
        part = "\n".join(lines)
        parts.append(part if code else _blank(_HIDDEN, _blank(_COMMENT, part)))
    return "\n".join(parts)


def headings(lines: Sequence[str]) -> list[Heading]:
    """Headings in the order of the page, those within boxes and tabs with level 0."""
    taken: set[str] = set()
    found = []
    for number, level, text in _heading_lines(lines):
        named = re.search(r"\{:?[^}]*#([\w:.-]+)[^}]*\}\s*$", text)
        plain = inline(_ATTRIBUTES.sub("", text))
        anchor = named[1] if named else _unique(slug(_without_pictures(text)), taken)
        taken.add(anchor)
        found.append(Heading(level, plain, anchor, number))
    return found


def slug(text: str) -> str:
    """The anchor of a heading, as Python-Markdown's `toc` makes it."""
    plain = inline(_ATTRIBUTES.sub("", text))
    ascii_only = unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", ascii_only).strip().lower())


def inline(text: str) -> str:
    """A line of Markdown as plain text."""
    text = _LINK.sub(r"\1", _IMAGE.sub(r"\1", text))
    # What stands between backticks is code, and its signs are letters.
    parts = re.split(r"(`+[^`]+`+)", text)
    plain = "".join(part.strip("`") if part[:1] == "`" else _unmarked(part) for part in parts)
    return " ".join(plain.split())


def _unmarked(text: str) -> str:
    text = _KEYS.sub(r"\1", _TAG.sub("", text))
    text = re.sub(r"(\*\*|__|~~|==|\^\^)(?=\S)(.+?)(?<=\S)\1", r"\2", text)
    text = re.sub(r"(?<![\w*])[*_](?=\S)([^*_]+?)(?<=\S)[*_](?![\w*])", r"\1", text)
    text = re.sub(r"\\([\\`*_{}\[\]()#+.!-])", r"\1", text)
    return html.unescape(_EMOJI.sub("", text))


def units(lines: Sequence[str], lead: str = "") -> Iterator[Unit]:
    """The units of a section's lines, boxes and tabs opened."""
    at = 0
    while at < len(lines):
        line = lines[at]
        box, tab = _BOX.match(line), _TAB.match(line)
        if not line.strip() or any(each.match(line) for each in _PASSED_OVER):
            at += 1
        elif box or tab:
            end = _indented_end(lines, at + 1)
            yield from units(_dedented(lines[at + 1 : end]), inline(_title(box, tab)))
            at = end
        elif FENCE.match(line):
            end = _fence_end(lines, at)
            yield from _fence(lines[at:end], lead)
            at = end
        elif _ROW.match(line):
            end = _run(lines, at, _ROW)
            yield from _rows(lines[at:end], lead)
            at = end
        elif _ITEM.match(line):
            end = _item_end(lines, at)
            yield Unit("item", _shown(lines[at:end]), lead)
            at = end
        else:
            end = _paragraph_end(lines, at)
            text = _shown(lines[at:end])
            if text:
                yield Unit("text", text, lead)
            at = end


def links(text: str) -> Iterator[tuple[int, str]]:
    """Targets of links and pictures outside code, with their line numbers from 1."""
    number = 1
    for code, lines in _fenced(text.split("\n")):
        if not code:
            for offset, line in enumerate(lines):
                bare = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", line)
                for match in re.finditer(r"\]\(\s*<?([^()\s>]+(?:\([^()]*\)[^()\s]*)*)", bare):
                    yield number + offset, match[1]
                for match in re.finditer(r"^\s{0,3}\[[^\]^]+\]:\s+<?(\S+?)>?(?:\s|$)", bare):
                    yield number + offset, match[1]
                for match in re.finditer(r"<(?:a|img)\b[^>]*?(?:href|src)=\"([^\"]+)\"", bare):
                    yield number + offset, match[1]
        number += len(lines)


def own_anchors(text: str) -> set[str]:
    """Anchors that a page sets itself: ids of tags and of attribute lists, footnotes."""
    found = set(re.findall(r"<[a-zA-Z][^>]*?\s(?:id|name)=[\"']([^\"']+)", text))
    found |= {match.lstrip("#") for match in re.findall(r"\{:?[^}\n]*?(#[\w:.-]+)", text)}
    return found | {f"fn:{name}" for name in re.findall(r"^\[\^([^\]]+)\]:", text, re.MULTILINE)}


def _heading_lines(lines: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    number = 0
    for code, part in _fenced(lines):
        for offset, line in enumerate(part if not code else ()):
            stripped = line.lstrip()
            indent = len(line) - len(stripped)
            match = _HEADING.match(stripped)
            if match and indent % 4 == 0 and (indent == 0 or _in_box(part, offset, indent)):
                yield number + offset, 0 if indent else len(match[1]), match[2]
            elif indent == 0 and offset + 1 < len(part) and _SETEXT.match(part[offset + 1]):
                before = offset == 0 or not part[offset - 1].strip()
                if before and stripped and not _ROW.match(line) and not _ITEM.match(line):
                    yield number + offset, 1 if part[offset + 1][0] == "=" else 2, stripped
        number += len(part)


def _in_box(lines: Sequence[str], at: int, indent: int) -> bool:
    """Whether the nearest line with less indentation opens a box or a tab."""
    for line in reversed(lines[:at]):
        if line.strip() and len(line) - len(line.lstrip()) < indent:
            return bool(_BOX.match(line.strip()) or _TAB.match(line.strip()))
    return False


def _fenced(lines: Sequence[str]) -> Iterator[tuple[bool, Sequence[str]]]:
    """Runs of lines outside of fences and within, in turn."""
    begin = at = 0
    while at < len(lines):
        if FENCE.match(lines[at]):
            end = _fence_end(lines, at)
            if begin < at:
                yield False, lines[begin:at]
            yield True, lines[at:end]
            begin = at = end
        else:
            at += 1
    if begin < len(lines):
        yield False, lines[begin:]


def _title(box: re.Match[str] | None, tab: re.Match[str] | None) -> str:
    """What stands above a box or a tab; a box without a title has its kind's."""
    if box:
        return box[2] if box[2] is not None else (box[1] or "").title()
    return tab[1] if tab else ""


def _fence_end(lines: Sequence[str], at: int) -> int:
    opened = FENCE.match(lines[at])
    assert opened is not None
    mark, indent = opened[2], len(opened[1])
    for number in range(at + 1, len(lines)):
        closing = FENCE.match(lines[number])
        if (
            closing
            and not closing[3].strip()
            and closing[2][0] == mark[0]
            and len(closing[2]) >= len(mark)
            and len(closing[1]) <= indent + 3
        ):
            return number + 1
    return len(lines)


def _fence(lines: Sequence[str], lead: str) -> Iterator[Unit]:
    opened = FENCE.match(lines[0])
    language = re.match(r"\s*\{?\.?([\w+-]*)", opened[3]) if opened else None
    if language and language[1].lower() in _UNSAID:
        return
    body = _dedented(lines[1:-1] if len(lines) > 1 and FENCE.match(lines[-1]) else lines[1:])
    text = "\n".join(body).strip("\n")
    if text.strip():
        yield Unit("code", f"```{language[1] if language else ''}\n{text}\n```", lead)


def _rows(lines: Sequence[str], lead: str) -> Iterator[Unit]:
    ruled = len(lines) > 1 and _RULER.match(lines[1])
    head = _row(lines[0]) if ruled else ""
    for line in lines[2:] if ruled else lines:
        yield Unit("row", _row(line), "\n".join(filter(None, (lead, head))))


def _row(line: str) -> str:
    cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
    return "| " + " | ".join(_line(cell).strip() for cell in cells) + " |"


def _shown(lines: Sequence[str]) -> str:
    """Lines as they are shown: Markdown whose targets within the site and attributes are gone."""
    parts = []
    for code, part in _fenced(lines):
        kept = [line.rstrip() for line in part] if code else [_line(line) for line in part]
        parts.extend(line for line in kept if code or line.strip())
    return "\n".join(parts).strip("\n")


def _line(line: str) -> str:
    line = _IMAGE.sub(r"\1", _without_pictures(line))
    line = _LINK.sub(_outside, line)
    line = _ATTRIBUTES.sub("", line) if "`" not in line else line
    return html.unescape(_TAG.sub("", line)) if "`" not in line else line


def _outside(match: re.Match[str]) -> str:
    """A link out of the site is part of the answer; one within is not."""
    return match[0] if match[2].startswith(("http:", "https:", "mailto:")) else match[1]


def _without_pictures(text: str) -> str:
    return _EMOJI.sub("", text)


def _blank(pattern: re.Pattern[str], text: str) -> str:
    """Matches cut out; their line breaks stay, so that line numbers hold."""
    return pattern.sub(lambda match: "\n" * match[0].count("\n"), text)


def _unique(anchor: str, taken: set[str]) -> str:
    while anchor in taken or not anchor:
        counted = re.match(r"^(.*)_(\d+)$", anchor)
        anchor = f"{counted[1]}_{int(counted[2]) + 1}" if counted else f"{anchor}_1"
    return anchor


def _indented_end(lines: Sequence[str], at: int) -> int:
    end = at
    for number in range(at, len(lines)):
        if lines[number].strip():
            if not lines[number].startswith(("    ", "\t")):
                break
            end = number + 1
    return end


def _dedented(lines: Sequence[str]) -> list[str]:
    opened = [line.expandtabs(4) for line in lines]
    indent = min((len(line) - len(line.lstrip()) for line in opened if line.strip()), default=0)
    return [line[indent:] for line in opened]


def _run(lines: Sequence[str], at: int, pattern: re.Pattern[str]) -> int:
    while at < len(lines) and pattern.match(lines[at]):
        at += 1
    return at


def _item_end(lines: Sequence[str], at: int) -> int:
    """One list item with what is indented below it."""
    number = at + 1
    end = number
    while number < len(lines):
        line = lines[number]
        if FENCE.match(line) and line.startswith((" ", "\t")):
            number = end = _fence_end(lines, number)
            continue
        if line.strip():
            loose = not lines[number - 1].strip()
            if not line.startswith(("  ", "\t")) and (loose or _ITEM.match(line)):
                break
            if FENCE.match(line) or _HEADING.match(line) or _BOX.match(line) or _TAB.match(line):
                break
            end = number + 1
        number += 1
    return end


def _paragraph_end(lines: Sequence[str], at: int) -> int:
    end = at + 1
    while end < len(lines) and lines[end].strip():
        line = lines[end]
        if FENCE.match(line) or _ROW.match(line) or _ITEM.match(line) or _BOX.match(line):
            break
        end += 1
    return end
