"""The files that `paper fill` writes, and how each is read again to see whether it still holds.

Every file says who wrote it and tells each value's provenance in one sentence, which is the same in
TeX, CSV, Markdown and JSON. What is compared are the values, not the sentences.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kdgat.errors import KnowledgeError
from kdgat.knowledge.papers import PLACEHOLDER, Output, Paper, placeholders, read_whole
from kdgat.knowledge.papers_values import Answer

MARK = "kdgat paper fill"
"""In the first lines of every generated file; a file without it is never overwritten."""
_MARK_WITHIN = 4096
_FILLED = re.compile(r"; filled \d{4}-\d\d-\d\d")
_TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip
_MACRO = re.compile(r"\s*\\newcommand\{?\\([A-Za-z]+)\}?\{(.*)\}\s*(?:%.*)?")
_LIST = ("name", "value")


@dataclass(frozen=True)
class Cell:
    """A value in a generated file."""

    key: tuple[str | int, ...]
    """Its name, or its row and column."""
    text: str
    line: int
    value: str
    """The paper's name of it, as far as there is one."""


def names_in(paper: Paper, output: Output) -> tuple[str, ...]:
    """The values that a generated file holds, in order."""
    if output.rows:
        cells = (cell for row in output.rows for cell in row)
        return tuple(dict.fromkeys(name for cell in cells for name in placeholders(cell)))
    return output.values or tuple(paper.config.values)


def render(paper: Paper, output: Output, answers: Mapping[str, Answer], date: str) -> str:
    """The whole text of a generated file; `answers` must hold every value of it."""
    names = names_in(paper, output)
    sentences = {name: provenance(answers[name], date) for name in names}
    head = f"Written by `{MARK}` from {paper.file.name}; what is changed here is overwritten."
    escaped = {name: _escaped(answers[name].text, output.shape) for name in names}
    match output.shape:
        case "tex":
            lines = [f"% {head}", *(f"% {each}" for each in sentences.values())]
            lines += _tex(paper, output, escaped)
        case "md":
            rows = [(f"`{name}`", text) for name, text in escaped.items()]
            cells = _cells(output, escaped) if output.rows else rows
            lines = [f"<!-- {head} -->", *(f"<!-- {each} -->" for each in sentences.values()), ""]
            lines += _markdown(output.columns or _LIST, cells)
        case "csv":
            return _csv(output, escaped, sentences)
        case _:
            return _json(head, answers, sentences)
    return "\n".join(lines) + "\n"


def provenance(answer: Answer, date: str) -> str:
    """Where a value comes from, in one sentence without a line break."""
    parts = [
        f"{answer.name} = {told(answer.value)}",
        f"{answer.provenance} data {' '.join(each[:12] for each in answer.dataset_hashes)}"
        if answer.runs
        else "its SQL names no run",
        f"runs {' '.join(answer.runs)}" if answer.runs else "",
        f"evaluations {' '.join(answer.evaluations)}" if answer.evaluations else "",
        f"configs {' '.join(answer.configs)}" if answer.configs else "",
        f"query {answer.query}",
        f"filled {date}",
    ]
    return "; ".join(part for part in parts if part)


def told(value: float | str) -> str:
    """A value as the sentence has it."""
    # Without the end of a comment in HTML, and without what ends a part of the sentence.
    return json.dumps(value).replace("--", "- -").replace(";", ",")


def recorded(text: str, name: str) -> tuple[str | None, tuple[str, ...]]:
    """The value and the runs that a generated file says a value is of; None where it does not."""
    # In CSV and JSON the quotes of a text are written otherwise.
    found = re.search(rf"(?<!\w){name} = ([^;\n]*);([^\n]*?); filled", text)
    if found is None:
        return None, ()
    runs = re.search(r"; runs ([^;]*);", found[2])
    return found[1], tuple(runs[1].split()) if runs else ()


def same_but_for_the_date(one: str, two: str) -> bool:
    """Whether two generated texts differ at most in when they were written."""
    return _FILLED.sub("", one) == _FILLED.sub("", two)


def standing(paper: Paper, output: Output) -> tuple[Path, str | None]:
    """Where an output goes, and what is there now.

    Raises:
        KnowledgeError: something is there that kdgat did not write.
    """
    path = paper.inside(output.file)
    if not path.exists():
        return path, None
    text = read_whole(path, output.file)
    # An empty file is nobody's.
    if text.strip() and MARK not in text[:_MARK_WITHIN]:
        raise KnowledgeError(
            f"'{paper.shown}': '{output.file}' was not written by kdgat, so it is left alone",
            hint="choose another file for the output, or remove that one yourself",
        )
    return path, text


def cells(paper: Paper, output: Output, text: str) -> dict[tuple[str | int, ...], Cell]:
    """The values of a generated file by their place in it.

    Raises:
        KnowledgeError: it is not of its kind any more.
    """
    if output.shape == "json":
        return _of_json(text)
    if output.shape == "tex" and not output.rows:
        return _of_macros(paper, output, text)
    rows = {"csv": _csv_rows, "md": _markdown_rows, "tex": _tex_rows}[output.shape](text)
    if output.shape != "tex":
        # The head of the table.
        rows = rows[1:]
    if not output.rows:
        named = [(line, row[0].strip("`"), row[1]) for line, row in rows if len(row) > 1]
        return {(name,): Cell((name,), value, line, name) for line, name, value in named}
    found = {}
    for number, (line, row) in enumerate(rows):
        for column, value in enumerate(row[: len(output.rows[0])]):
            of = output.rows[number][column] if number < len(output.rows) else ""
            key = (number, column)
            found[key] = Cell(key, value, line, ", ".join(placeholders(of)))
    return found


def _cells(output: Output, escaped: Mapping[str, str]) -> list[tuple[str, ...]]:
    """The rows of a table, filled."""

    def fill(found: re.Match[str]) -> str:
        return escaped.get(found[1], found[0])

    rows = output.rows
    if output.shape == "md":
        rows = tuple(tuple(re.sub(r"(?<!\\)\|", r"\|", cell) for cell in row) for row in rows)
    return [tuple(PLACEHOLDER.sub(fill, cell) for cell in row) for row in rows]


def _escaped(text: str, shape: str) -> str:
    flat = " ".join(text.split())
    match shape:
        case "tex":
            return "".join(_TEX.get(letter, letter) for letter in flat)
        case "md":
            return flat.replace("\\", "\\\\").replace("|", r"\|").replace("<", "&lt;")
        case _:
            return flat


def _tex(paper: Paper, output: Output, escaped: Mapping[str, str]) -> list[str]:
    if output.rows:
        return [" & ".join(row) + r" \\" for row in _cells(output, escaped)]
    return [
        rf"\newcommand{{\{paper.config.macro(output, name)}}}{{{text}}}"
        for name, text in escaped.items()
    ]


def _markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [columns, ["---"] * len(columns), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _csv(output: Output, escaped: Mapping[str, str], sentences: Mapping[str, str]) -> str:
    # No comment lines, which few readers of CSV pass over: a column of its own.
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow((*(output.columns or _LIST), f"provenance ({MARK})"))
    if output.rows:
        for row, given in zip(_cells(output, escaped), output.rows, strict=True):
            names = dict.fromkeys(name for cell in given for name in placeholders(cell))
            writer.writerow((*row, " | ".join(sentences[name] for name in names)))
    else:
        writer.writerows((name, text, sentences[name]) for name, text in escaped.items())
    return file.getvalue()


def _json(head: str, answers: Mapping[str, Answer], sentences: Mapping[str, str]) -> str:
    values = {
        name: {
            "text": answers[name].text,
            "value": answers[name].value,
            "runs": answers[name].runs,
            "evaluations": answers[name].evaluations,
            "provenance": sentence,
        }
        for name, sentence in sentences.items()
    }
    return json.dumps({"about": head, "values": values}, indent=2) + "\n"


def _of_json(text: str) -> dict[tuple[str | int, ...], Cell]:
    try:
        values = json.loads(text)["values"]
        found = {str(name): str(each["text"]) for name, each in values.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise KnowledgeError(
            f"it is no JSON of kdgat any more: {error}", hint="`kdgat paper fill` writes it anew"
        ) from error
    lines = text.split("\n")
    begins = {
        name: next((at for at, line in enumerate(lines) if line.strip() == f'"{name}": {{'), 0)
        for name in found
    }
    return {(name,): Cell((name,), value, begins[name] + 2, name) for name, value in found.items()}


def _of_macros(paper: Paper, output: Output, text: str) -> dict[tuple[str | int, ...], Cell]:
    named = {paper.config.macro(output, name): name for name in names_in(paper, output)}
    found: dict[tuple[str | int, ...], Cell] = {}
    for line, content in enumerate(text.split("\n"), start=1):
        if match := _MACRO.fullmatch(content):
            key = (match[1],)
            found[key] = Cell(key, match[2], line, named.get(match[1], f"\\{match[1]}"))
    return found


def _csv_rows(text: str) -> list[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text))
    return [(reader.line_num, row) for row in reader if row]


def _markdown_rows(text: str) -> list[tuple[int, list[str]]]:
    rows = []
    for line, content in enumerate(text.split("\n"), start=1):
        if content.strip().startswith("|"):
            inner = content.strip().strip("|")
            rows.append((line, [part.strip() for part in re.split(r"(?<!\\)\|", inner)]))
    # Below the head stands a line of dashes.
    return rows[:1] + rows[2:]


def _tex_rows(text: str) -> list[tuple[int, list[str]]]:
    rows = []
    for line, content in enumerate(text.split("\n"), start=1):
        if content.strip() and not content.lstrip().startswith("%"):
            inner = content.strip().removesuffix(r"\\")
            rows.append((line, [part.strip() for part in re.split(r"(?<!\\)&", inner)]))
    return rows
