"""What a paper prints, place by place, against what the history says."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from kdgat.errors import KnowledgeError
from kdgat.knowledge.papers import Output, Paper, Pattern, read_whole
from kdgat.knowledge.papers_findings import Figure
from kdgat.knowledge.papers_numbers import numbers
from kdgat.knowledge.papers_output import (
    Cell,
    cells,
    names_in,
    recorded,
    render,
    standing,
    told,
)
from kdgat.knowledge.papers_text import Place, places
from kdgat.knowledge.papers_values import Answer, Answers

Where = Literal["text", "table", "pattern", "generated"]
_NOTHING = Answer("", "", "", (), (), (), (), "", "", None)


@dataclass(frozen=True)
class Drift:
    """A place of the paper that does not say what the history says."""

    file: str
    line: int
    value: str
    """The paper's name of it."""
    printed: str
    history: str | None
    """What it should be; None where there is no such value."""
    exact: float | int | str | None
    """The same before rounding."""
    where: Where
    reason: str


@dataclass
class Seen:
    """What was found while a paper was read."""

    drifts: list[Drift] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    figures: dict[str, list[Figure]] = field(default_factory=dict)
    places: int = 0

    def add_generated(
        self,
        file: str,
        line: int,
        value: str,
        printed: str,
        history: str | None,
        reason: str,
        exact: float | int | str | None = None,
    ) -> None:
        """Note a drift of a generated file."""
        drift = Drift(file, line, value, printed, history, exact, "generated", reason)
        self.drifts.append(drift)


def read_paper(paper: Paper, answers: Answers) -> Seen:
    """Every printed value of a paper against its answer."""
    seen = Seen()
    for output in paper.config.output:
        _read_output(paper, output, answers, seen)
    known = {
        # Of what has no answer nothing is said; the fault says why.
        name: answers.found[name].value if name in answers.found else ""
        for name in paper.config.values
    }
    wanted: dict[Pattern, bool] = {}
    for path, patterns in paper.checked():
        shown = path.relative_to(paper.folder).as_posix()
        seen.files.append(shown)
        text = read_whole(path, shown)
        for pattern in patterns:
            fits = re.search(pattern.regex, text, re.MULTILINE) is not None
            wanted[pattern] = wanted.get(pattern, False) or fits
        for place in places(text, path.suffix, patterns, known):
            _compare(paper, shown, place, answers, seen)
    for pattern in (pattern for pattern, fits in wanted.items() if not fits):
        reason = f"the pattern '{pattern.regex:.60}' fits nothing in the files"
        answer = answers.found.get(pattern.value)
        seen.drifts.append(_drift(paper.shown, 0, pattern.value, "", answer, "pattern", reason))
    return seen


def _compare(paper: Paper, shown: str, place: Place, answers: Answers, seen: Seen) -> None:
    answer = answers.found.get(place.name)
    printed = f"{place.text} %" if place.number and place.number.percent else place.text
    reason = place.problem
    if not reason:
        seen.places += 1
        if answer is None:
            # A fault of its own.
            return
        if place.number is None or isinstance(answer.value, str):
            # In TeX, text has backslashes before what is special.
            agrees = answer.text in place.text.replace("\\", "")
        else:
            agrees = paper.config.values[place.name].style.agrees(place.number, answer.value)
            figure = Figure(f"{shown}:{place.line}", printed, place.number, ())
            seen.figures.setdefault(place.name, []).append(figure)
        reason = "" if agrees else "not what history says"
    if reason:
        drift = _drift(shown, place.line, place.name, printed, answer, place.where, reason)
        seen.drifts.append(drift)


def _read_output(paper: Paper, output: Output, answers: Answers, seen: Seen) -> None:
    """A generated file against what would be written now."""
    names = names_in(paper, output)
    _, text = standing(paper, output)
    seen.files.append(output.file)
    if text is None:
        reason = "the file is missing: `kdgat paper fill` writes it"
        seen.add_generated(output.file, 0, ", ".join(names), "", None, reason)
        return
    # What should stand for a value without an answer is not known; its fault says why.
    unknown = {name: _NOTHING for name in names if name not in answers.found}
    wanted = cells(paper, output, render(paper, output, answers.found | unknown, "0000-00-00"))
    try:
        there = cells(paper, output, text)
    except KnowledgeError as error:
        seen.add_generated(output.file, 1, "", "", None, error.problem)
        return
    for key, cell in wanted.items():
        if unknown.keys() & set(cell.value.split(", ")):
            continue
        _compare_cell(output.file, text, cell, there.get(key), answers, seen)
    for key in there.keys() - wanted.keys():
        extra = there[key]
        reason = "no value of paper.toml stands there"
        seen.add_generated(output.file, extra.line, extra.value, extra.text, None, reason)


def _compare_cell(
    file: str, text: str, cell: Cell, found: Cell | None, answers: Answers, seen: Seen
) -> None:
    answer = answers.found.get(cell.value)
    seen.places += bool(cell.value)
    exact = answer and answer.value
    if found is None:
        reason = "is missing in the generated file"
        seen.add_generated(file, 0, cell.value, "", cell.text, reason, exact)
        return
    if answer is not None:
        _note_figure(file, found.line, answer, found.text, text, seen)
    if found.text != cell.text:
        reason = _how_it_came(text, answer)
        seen.add_generated(file, found.line, cell.value, found.text, cell.text, reason, exact)


def _note_figure(file: str, line: int, answer: Answer, printed: str, text: str, seen: Seen) -> None:
    found = list(numbers(printed.replace("\\%", "%")))
    if len(found) == 1:
        _, runs = recorded(text, answer.name)
        figure = Figure(f"{file}:{line}", printed, found[0], runs)
        seen.figures.setdefault(answer.name, []).append(figure)


def _how_it_came(text: str, answer: Answer | None) -> str:
    """Whether history went on since a file was written, or somebody wrote into it."""
    if answer is None:
        return "edited by hand, or stale"
    then, runs = recorded(text, answer.name)
    if then == told(answer.value) and runs == answer.runs:
        return "edited by hand, or its format changed"
    return f"stale: it was {then} when it was filled" if then else "edited by hand"


def _drift(
    file: str, line: int, name: str, printed: str, answer: Answer | None, where: Where, reason: str
) -> Drift:
    text, exact = (answer.text, answer.value) if answer else (None, None)
    return Drift(file, line, name, printed, text, exact, where, reason)
