"""`--8<--`: files that a page takes in, as pymdownx.snippets has them, and what is added to all.

A file outside the site is not taken in, whatever the page says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

_ONE = re.compile(r'^(?P<indent>[ \t]*)(?P<escape>;?)-{1,}8<-{1,}[ \t]+"(?P<name>[^"]+)"[ \t]*$')
_MARK = re.compile(r"^(?P<indent>[ \t]*)-{1,}8<-{1,}[ \t]*$")
_LINES = re.compile(r"^(?P<name>.+?):(?P<begin>\d*)(?::(?P<end>\d*))?$")
_PART = re.compile(r"^(?P<name>.+?):(?P<part>[A-Za-z][\w-]*)$")
_DEEPEST = 8
_LONGEST_BYTES = 2 << 20


@dataclass
class Taken:
    """What was read beside the page, and what could not be."""

    files: set[Path] = field(default_factory=set)
    """Also those that are missing: the page changes when they come."""
    problems: list[str] = field(default_factory=list)


def expand(text: str, root: Path, bases: tuple[Path, ...], taken: Taken, depth: int = 0) -> str:
    """`text` with the files it names; a name that leads nowhere is noted and left out."""
    if "8<-" not in text:
        return text
    lines: list[str] = []
    within = False
    for line in text.split("\n"):
        one, mark = _ONE.match(line), _MARK.match(line)
        if mark:
            within = not within
        elif one and one["escape"]:
            lines.append(line.replace(";", "", 1))
        elif one or (within and line.strip()):
            name = one["name"] if one else line.strip()
            indent = one["indent"] if one else ""
            found = _take(name, root, bases, taken, depth)
            lines.extend(indent + each for each in found)
        elif not within:
            lines.append(line)
    return "\n".join(lines)


def _take(name: str, root: Path, bases: tuple[Path, ...], taken: Taken, depth: int) -> list[str]:
    if name.startswith(";") or depth >= _DEEPEST or "://" in name:
        return []
    lines, part = _LINES.match(name), _PART.match(name)
    bare = lines["name"] if lines else part["name"] if part else name
    path = _find(bare, root, bases, taken)
    if path is None:
        taken.problems.append(f"snippet '{name}' is not in the site")
        return []
    try:
        if path.stat().st_size > _LONGEST_BYTES:
            raise ValueError("too long")
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        taken.problems.append(f"snippet '{name}' can't be read: {error}")
        return []
    content = text.rstrip("\n").split("\n")
    if part and not lines:
        content = _between(content, part["part"])
    if lines:
        begin, end = int(lines["begin"] or 1), lines["end"]
        content = content[max(begin, 1) - 1 : int(end) if end else None]
    return expand("\n".join(content), root, bases, taken, depth + 1).split("\n")


def _find(name: str, root: Path, bases: tuple[Path, ...], taken: Taken) -> Path | None:
    for base in bases:
        path = base / name
        taken.files.add(path)
        if path.is_file() and path.resolve().is_relative_to(root.resolve()):
            return path
    return None


def _between(lines: list[str], part: str) -> list[str]:
    """The lines of a named part of a file."""
    kept = []
    within = False
    for line in lines:
        if re.search(rf"-+8<-+\s*\[start:\s*{re.escape(part)}\]", line):
            within = True
        elif re.search(rf"-+8<-+\s*\[end:\s*{re.escape(part)}\]", line):
            within = False
        elif within:
            kept.append(line)
    return kept
