r"""Where a paper prints values: numbers that a mark in the text, or a pattern, ties to a name.

    F1 of 0.913 % kdgat: gat_f1                       the number before the mark
    0.913 $\pm$ 0.004 % kdgat: gat_f1, gat_half       the last two numbers; `_` passes one over
    F1 of 0.913<!-- kdgat: gat_f1 --> on ...          the same in Markdown, anywhere in a line
    Model & F1 & AUROC \\ % kdgat columns: _, f1, auroc
    GAT   & .91 & .95  \\ % kdgat row: gat            the cells are gat_f1 and gat_auroc

The files are read and never written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from kdgat.errors import did_you_mean
from kdgat.knowledge.papers import Pattern
from kdgat.knowledge.papers_numbers import Printed, numbers

_TEX_SUFFIXES = (".tex", ".ltx", ".sty", ".cls", ".rnw")
_COMMENT = re.compile(r"(?<!\\)(?:\\\\)*%")
_IN_TEX = re.compile(r"\bkdgat(?:[ \t]+(row|columns))?[ \t]*:([^%]*)")
_IN_MARKDOWN = re.compile(r"<!--\s*kdgat(?:\s+(row|columns))?\s*:(.*?)-->")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*|_")
_TEX_ASIDE = re.compile(r"\\(begin|end)\{(verbatim\*?|lstlisting|minted|comment)\}")
_FENCE = re.compile(r"\s*(```+|~~~+)")
_PASSED_OVER = "_"

Where = Literal["text", "table", "pattern"]


@dataclass(frozen=True)
class Place:
    """A value in a text; where it can't be read, `problem` says why."""

    line: int
    where: Where
    name: str
    text: str
    """What is printed."""
    number: Printed | None
    problem: str = ""


@dataclass(frozen=True)
class _Mark:
    line: int
    kind: str
    names: tuple[str, ...]
    before: str
    """The text that it speaks of."""


def places(
    text: str, suffix: str, patterns: Iterable[Pattern], known: Mapping[str, object]
) -> list[Place]:
    """Every place of a file where a value is printed, in order.

    Args:
        text: the file's text.
        suffix: the end of its name, which says whether it is TeX.
        patterns: what ties numbers to values beside the marks.
        known: every value of the paper, by name.
    """
    lines = text.split("\n")
    tex = suffix.lower() in _TEX_SUFFIXES
    found = list(_marked(lines, _tex_marks(lines) if tex else _other_marks(lines), tex, known))
    for pattern in patterns:
        found += _matched(text, pattern, known)
    # A number that is tied twice to one name is one place.
    once = {(each.line, each.name, each.text): each for each in reversed(found)}
    return sorted(once.values(), key=lambda each: (each.line, each.name))


def _tex_marks(lines: Sequence[str]) -> Iterator[_Mark]:
    aside = ""
    for number, line in enumerate(lines, start=1):
        if found := _TEX_ASIDE.search(line):
            aside = found[2] if found[1] == "begin" else ""
        comment = _COMMENT.search(line)
        if aside or comment is None:
            continue
        before, after = line[: comment.end() - 1], line[comment.end() :]
        mark = _IN_TEX.search(after)
        # A line that is commented out with its mark is no text of the paper.
        if mark and (before.strip() or not after[: mark.start()].strip("% \t")):
            yield _Mark(number, mark[1] or "", _names(mark[2]), before)


def _other_marks(lines: Sequence[str]) -> Iterator[_Mark]:
    fence = ""
    for number, line in enumerate(lines, start=1):
        if found := _FENCE.match(line):
            if not fence:
                fence = found[1]
            elif found[1].startswith(fence):
                fence = ""
        if fence:
            continue
        begin = 0
        for mark in _IN_MARKDOWN.finditer(line):
            whole = line[: mark.start()] if mark[1] else line[begin : mark.start()]
            yield _Mark(number, mark[1] or "", _names(mark[2]), whole)
            begin = mark.end()


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _marked(
    lines: Sequence[str], marks: Iterable[_Mark], tex: bool, known: Mapping[str, object]
) -> Iterator[Place]:
    columns: tuple[str, ...] = ()
    last = 0
    for mark in marks:
        if _table_ended(lines[last : mark.line - 1], tex):
            columns = ()
        wrong = [name for name in mark.names if not _NAME.fullmatch(name)]
        if wrong or not mark.names:
            said = f"'{wrong[0]}' is no name of a value" if wrong else "the mark names no value"
            yield Place(mark.line, "text", wrong[0] if wrong else "", "", None, said)
        elif mark.kind == "columns":
            columns, last = mark.names, mark.line
        elif mark.kind == "row":
            last = mark.line
            yield from _row(mark, columns, tex, known)
        else:
            yield from _tied(mark, known)


def _table_ended(between: Sequence[str], tex: bool) -> bool:
    if tex:
        return any(re.search(r"\\end\{(tab|long|array)", line) for line in between)
    return any("|" not in line for line in between)


def _tied(mark: _Mark, known: Mapping[str, object]) -> Iterator[Place]:
    """The last numbers before a mark, one a name."""
    found = list(numbers(mark.before))
    texts = [name for name in mark.names if isinstance(known.get(name), str)]
    if texts and len(mark.names) == 1:
        yield Place(mark.line, "text", texts[0], mark.before.strip(), None)
        return
    if len(found) < len(mark.names):
        said = (
            "the mark stands alone: put it on the line of the number"
            if not mark.before.strip()
            else f"the mark names {len(mark.names)}, and before it the line has "
            f"{len(found)} number{'s' * (len(found) != 1)}"
        )
        yield Place(mark.line, "text", ", ".join(mark.names), "", None, said)
        return
    where: Where = "table" if re.search(r"(?<!\\)&|\|", mark.before) else "text"
    for name, number in zip(mark.names, found[-len(mark.names) :], strict=True):
        if name != _PASSED_OVER:
            yield _place(mark.line, where, name, number, known)


def _row(
    mark: _Mark, columns: Sequence[str], tex: bool, known: Mapping[str, object]
) -> Iterator[Place]:
    """The cells of a row, each named after its row and column."""
    row = mark.names[0]
    if not columns or len(mark.names) > 1:
        said = "no mark `kdgat columns:` stands above it" if not columns else "a row has one name"
        yield Place(mark.line, "table", row, "", None, said)
        return
    line = mark.before.strip()
    cells = re.split(r"(?<!\\)&" if tex else r"(?<!\\)\|", line if tex else line.strip("|"))
    if len(cells) != len(columns):
        said = f"the row has {len(cells)} cells, and the mark above it names {len(columns)} columns"
        yield Place(mark.line, "table", row, "", None, said)
        return
    for cell, column in zip(cells, columns, strict=True):
        if column != _PASSED_OVER:
            name = f"{row}_{column}"
            number = next(numbers(cell), None)
            if isinstance(known.get(name), str):
                yield Place(mark.line, "table", name, cell.strip(), None)
            elif number is None:
                said = "the cell holds no number"
                yield Place(mark.line, "table", name, cell.strip(), None, said)
            else:
                yield _place(mark.line, "table", name, number, known)


def _place(
    line: int, where: Where, name: str, number: Printed, known: Mapping[str, object]
) -> Place:
    problem = ""
    if name not in known:
        problem = f"paper.toml has no value '{name}', {did_you_mean(name, known)}"
    return Place(line, where, name, number.text, number, problem)


def _matched(text: str, pattern: Pattern, known: Mapping[str, object]) -> Iterator[Place]:
    """What a pattern finds; `^` and `$` in it are the ends of lines."""
    for found in re.finditer(pattern.regex, text, re.MULTILINE):
        group = next((at for at, each in enumerate(found.groups(), 1) if each is not None), 0)
        printed = found[group] if group else ""
        line = text.count("\n", 0, found.start(group)) + 1
        begin = text.rfind("\n", 0, found.start(group)) + 1
        end = text.find("\n", found.end(group))
        # The whole line, for a percent sign may stand behind the group.
        whole = text[begin : end if end >= 0 else len(text)]
        at = found.start(group) - begin
        inside = [each for each in numbers(whole) if at <= each.start < at + len(printed)]
        if isinstance(known.get(pattern.value), str):
            yield Place(line, "pattern", pattern.value, printed, None)
        elif len(inside) == 1:
            yield Place(line, "pattern", pattern.value, inside[0].text, inside[0])
        else:
            said = f"the pattern's group fits '{printed:.40}', which is not one number"
            yield Place(line, "pattern", pattern.value, printed, None, said)
