"""Operations on a paper's figures: fill them in, check them, find runs that beat them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import unified_diff
from pathlib import Path

from kdgat.errors import KnowledgeError
from kdgat.knowledge.papers import PAPER_FILE, Paper, load_paper
from kdgat.knowledge.papers_check import Drift, read_paper
from kdgat.knowledge.papers_findings import Finding, better_than, why_not
from kdgat.knowledge.papers_output import names_in, render, same_but_for_the_date, standing
from kdgat.knowledge.papers_values import Answers, Asker
from kdgat.ledger.files import write_text
from kdgat.runs.history import MEMORY_MB, open_history
from kdgat.runs.registry import run_named
from kdgat.workspace import Workspace


@dataclass(frozen=True)
class PaperFile:
    """A generated file."""

    file: str
    values: int
    changed: bool
    written: bool
    diff: str
    """What changes in it, as a unified diff."""


@dataclass(frozen=True)
class FilledPaper:
    """What was filled in, or would be."""

    paper: str
    values: dict[str, str]
    """Every value as it is printed."""
    files: tuple[PaperFile, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class CheckedPaper:
    """A paper against the history."""

    paper: str
    places: int
    """Printed values that were compared."""
    files: tuple[str, ...]
    """Texts that were read, and generated files."""
    drifts: tuple[Drift, ...]
    faults: tuple[str, ...]
    """Values that history does not answer; nothing can be said of where they are printed."""
    hint: str
    """What to do about the first fault."""
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class PaperFindings:
    """Runs that beat what a paper prints."""

    paper: str
    items: tuple[Finding, ...]
    compared: int
    """Values that runs were held against."""
    skipped: dict[str, str]
    """The others, and why."""
    warnings: tuple[str, ...]


def paper_fill(ws: Workspace, *, paper: str | None = None, dry_run: bool = False) -> FilledPaper:
    """Write the files that hold a paper's values, each whole or not at all; no prose is touched.

    Args:
        ws: the workspace whose history is asked.
        paper: a paper.toml or its folder; None is the current folder's.
        dry_run: tell what would change, and write nothing.

    Raises:
        KnowledgeError: paper.toml is wrong, history has not one answer for a value, or a file
            that would be written is not kdgat's.
        StorageError: a file can't be written.
    """
    given = _load(ws, paper)
    if not given.config.output:
        raise KnowledgeError(
            f"'{given.shown}' names no file to write",
            hint='add one: [[output]] with file = "values.tex"',
        )
    with _answered(ws, given) as (_, answers):
        pass
    if answers.faults:
        raise _first(answers)
    date = f"{datetime.now(UTC):%Y-%m-%d}"
    made: list[tuple[Path, PaperFile, str]] = []
    for output in given.config.output:
        path, before = standing(given, output)
        text = render(given, output, answers.found, date)
        changed = before is None or not same_but_for_the_date(before, text)
        old = (before or "").splitlines(True)
        diff = "".join(unified_diff(old, text.splitlines(True), output.file, "history", n=1))
        count = len(names_in(given, output))
        summary = PaperFile(
            output.file, count, changed, changed and not dry_run, diff if changed else ""
        )
        made.append((path, summary, text))
    for path, summary, text in made:
        if summary.written:
            write_text(path, text)
    values = {name: answer.text for name, answer in answers.found.items()}
    files = tuple(summary for _, summary, _ in made)
    return FilledPaper(given.shown, values, files, answers.warnings)


def paper_check(ws: Workspace, *, paper: str | None = None) -> CheckedPaper:
    """Compare every value that a paper prints with the history; nothing is written.

    Args:
        ws: the workspace whose history is asked.
        paper: a paper.toml or its folder; None is the current folder's.

    Raises:
        KnowledgeError: paper.toml is wrong, or a file of the paper can't be read.
    """
    given = _load(ws, paper)
    with _answered(ws, given) as (_, answers):
        pass
    seen = read_paper(given, answers)
    return CheckedPaper(
        paper=given.shown,
        places=seen.places,
        files=tuple(seen.files),
        drifts=tuple(seen.drifts),
        faults=tuple(fault.problem for fault in answers.faults),
        hint=answers.faults[0].hint if answers.faults else "",
        warnings=answers.warnings,
    )


def paper_findings(
    ws: Workspace, *, paper: str | None = None, any_model: bool = False
) -> PaperFindings:
    """Runs that beat a figure which a paper prints, judged on the very same windows.

    Args:
        ws: the workspace whose history is asked.
        paper: a paper.toml or its folder; None is the current folder's.
        any_model: other models than the figure's too.

    Raises:
        KnowledgeError: paper.toml is wrong, or a file of the paper can't be read.
    """
    given = _load(ws, paper)
    items: list[Finding] = []
    skipped: dict[str, str] = {}
    with _answered(ws, given) as (asker, answers):
        figures = read_paper(given, answers).figures
        for name, value in given.config.values.items():
            answer, printed = answers.found.get(name), figures.get(name, [])
            why = why_not(value, answer, printed)
            if why is not None or answer is None:
                skipped[name] = why or ""
                continue
            rivals = asker.rivals(value)
            items += better_than(name, value, answer, printed, rivals, any_model=any_model)
    compared = len(given.config.values) - len(skipped)
    return PaperFindings(given.shown, tuple(items), compared, skipped, answers.warnings)


def _load(ws: Workspace, paper: str | None) -> Paper:
    path = Path(paper).expanduser() if paper else Path.cwd()
    path = path.absolute() if path.suffix == ".toml" else path.absolute() / PAPER_FILE
    return load_paper(path, ws.show(path))


@contextmanager
def _answered(ws: Workspace, paper: Paper) -> Iterator[tuple[Asker, Answers]]:
    def trained(reference: str) -> str:
        record = run_named(ws, reference).record()
        return record.subject or record.run_id

    with open_history(ws, memory_mb=MEMORY_MB) as history:
        asker = Asker(history, trained)
        yield asker, asker.answers(paper)


def _first(answers: Answers) -> KnowledgeError:
    fault, more = answers.faults[0], len(answers.faults) - 1
    return KnowledgeError(fault.problem, hint=fault.hint + (f" ({more} more)" if more else ""))
