"""Open questions: one Markdown file each, `modes/questions/NNNN-slug.md`, edited by people.

    ---
    title: Does a threshold carry over to another vehicle?
    status: open
    tags: [threshold, unknown-vehicle]
    hypothesis: The ranking carries over and the threshold does not.
    evidence: [20261121-074455-123f9a2]
    watch: select count(*) as runs from runs
    trigger: {text: three runs exist, sql: select count(*) >= 3 from runs}
    opened: 2026-11-21
    ---
    The discussion.

A file that is wrong is named with its line and hides no other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, get_args

from kdgat.errors import QuestionError, did_you_mean
from kdgat.runs.question_text import QuestionText, fault, taken_apart
from kdgat.runs.rows import Row
from kdgat.workspace import Workspace

Status = Literal["open", "answered", "dropped", "historical"]
STATUSES: tuple[Status, ...] = get_args(Status)
SETTINGS = (
    "title", "status", "tags", "hypothesis", "trigger", "evidence", "watch", "opened", "closed",
    "answer",
)  # fmt: skip
"""What the front matter may have, in the order in which a new file has it."""
LARGEST_BYTES = 1_000_000
"""Size of a file that is read."""
LONGEST_TITLE = 200
"""Characters of a title, which is one line."""
_FILE = re.compile(r"([0-9]{4,9})-[^/]+\.md")


@dataclass(frozen=True)
class Trigger:
    """What raises a question: words, and SQL that gives one boolean or one count."""

    text: str
    sql: str


@dataclass(frozen=True)
class Question:
    """One question as its file has it."""

    id: str
    """The number of its file, such as 0003."""
    title: str
    status: Status
    tags: tuple[str, ...]
    hypothesis: str
    """What may turn out wrong; empty where nobody wrote one yet."""
    trigger: Trigger | None
    evidence: tuple[str, ...]
    """Ids of the runs that speak for or against it."""
    watch: str | None
    """SQL over the history whose answer is looked at."""
    opened: str
    """The day it was written down, ISO 8601."""
    closed: str | None
    answer: str | None
    body: str
    """The discussion, Markdown."""
    file: str
    """Its file, relative to the workspace's root."""


def questions_folder(ws: Workspace) -> Path:
    """Where the files are."""
    return ws.modes / "questions"


def question_files(ws: Workspace) -> Iterator[Path]:
    """Every file that is meant to be a question, by name."""
    folder = questions_folder(ws)
    return (path for path in sorted(folder.glob("*.md")) if not path.name.startswith("."))


def number_of(path: Path) -> int | None:
    """The number in a file's name; None where it has none."""
    match = _FILE.fullmatch(path.name)
    return int(match[1]) if match else None


def read_questions(ws: Workspace) -> tuple[tuple[Question, ...], tuple[str, ...]]:
    """Every question, by number, and one sentence for each file that is none.

    Of two files with one number both are told, and the first counts.
    """
    questions: dict[str, Question] = {}
    faults: list[str] = []
    for path in question_files(ws):
        try:
            question = read_question(ws, path)
        except QuestionError as error:
            faults.append(error.problem)
            continue
        other = questions.setdefault(question.id, question)
        if other is not question:
            faults.append(f"'{other.file}' and '{question.file}' have one number")
    return tuple(questions.values()), tuple(faults)


def read_question(ws: Workspace, path: Path) -> Question:
    """The question of a file.

    Raises:
        QuestionError: it can't be read or is wrong; tells the line.
    """
    return question_of(read_text(ws, path), path, ws.show(path))


def read_text(ws: Workspace, path: Path) -> str:
    """All of a question's file, line ends as they are.

    Raises:
        QuestionError: it is no file of text, too large, or lies elsewhere.
    """
    where = ws.show(path)
    try:
        if not path.is_file() or not path.resolve().is_relative_to(ws.root.resolve()):
            raise fault(where, 1, "it is no file of this workspace", "keep questions as files")
        size = path.stat().st_size
        if size > LARGEST_BYTES:
            what = f"it has {size / 1e6:.1f} MB, and a question may have {LARGEST_BYTES / 1e6:.0f}"
            raise fault(where, 1, what, "move the bulk into a file of its own")
        data = path.read_bytes()
    except OSError as error:
        what = f"it can't be read ({error.strerror or error})"
        raise fault(where, 1, what, "mend the file") from error
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise fault(where, line, "it is not UTF-8", "save it as UTF-8") from error


def question_of(text: str, path: Path, where: str) -> Question:
    """The question of a text.

    Raises:
        QuestionError: a setting is missing or wrong; tells the line.
    """
    number = number_of(path)
    if number is None:
        raise fault(where, 1, "its name is not like 0003-some-words.md", "rename it")
    read = taken_apart(text, where, SETTINGS)
    title, opened = read.word("title"), read.day("opened")
    if not title or len(title) > LONGEST_TITLE or "\n" in title:
        line = read.line("title")
        raise read.fault(line, f"the title is no line of 1 to {LONGEST_TITLE} characters")
    if opened is None:
        raise read.fault(read.line("opened"), "the day is missing", "write opened: 2026-11-21")
    status, closed, answer = _status(read)
    return Question(
        id=f"{number:04d}",
        title=title,
        status=status,
        tags=read.words("tags"),
        hypothesis=read.word("hypothesis") or "",
        trigger=_trigger(read),
        evidence=read.words("evidence"),
        watch=read.word("watch"),
        opened=opened,
        closed=closed,
        answer=answer,
        body=read.body,
        file=where,
    )


def question_rows(ws: Workspace) -> list[Row]:
    """The rows of the view `questions`."""
    return [
        (
            each.id,
            each.title,
            each.status,
            ",".join(each.tags),
            each.hypothesis or None,
            each.trigger.text if each.trigger else None,
            datetime.fromisoformat(each.opened),
            datetime.fromisoformat(each.closed) if each.closed else None,
            len(each.evidence),
            ",".join(each.evidence),
            each.answer,
            each.file,
        )
        for each in read_questions(ws)[0]
    ]


def _status(read: QuestionText) -> tuple[Status, str | None, str | None]:
    """Status, day and answer, which go together."""
    name, closed, answer = read.word("status"), read.day("closed"), read.word("answer")
    status: Status | None = next((each for each in STATUSES if each == name), None)
    line = read.line("status")
    if status is None:
        raise read.fault(line, f"status is '{name or ''}'", did_you_mean(name or "", STATUSES))
    if status == "open" and (closed or answer):
        what = f"it is open and has {'an answer' if answer else 'a day on which it was closed'}"
        raise read.fault(line, what, "write status: answered, or take that away")
    if status == "answered" and not answer:
        raise read.fault(line, "it is answered and has no answer", "write answer: what came out")
    return status, closed, answer


def _trigger(read: QuestionText) -> Trigger | None:
    part = read.part("trigger", ("text", "sql"))
    if part is None:
        return None
    text, sql = part.word("text"), part.word("sql")
    if not text or not sql:
        hint = "write trigger: and below it, indented, text: and sql:"
        raise read.fault(read.line("trigger"), "the trigger lacks its text or its sql", hint)
    return Trigger(text, sql)
