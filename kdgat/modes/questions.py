"""Open questions as things to write: find one, add one, change one; each whole or not at all.

A number belongs to whoever made the file `.partial-NNNN` beside the questions, which is possible
once; it is gone when the question is written. So two processes never take one number, and of two
edits of one question the second sees what the first wrote.
"""

from __future__ import annotations

import os
import re
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from kdgat.errors import QuestionError
from kdgat.ledger.files import storage_error, write_text
from kdgat.modes.question_edits import new_text
from kdgat.runs.open_questions import (
    LARGEST_BYTES,
    LONGEST_TITLE,
    Question,
    number_of,
    question_files,
    question_of,
    questions_folder,
    read_question,
    read_text,
)
from kdgat.workspace import Workspace

_ID = re.compile(r"#?([0-9]{1,9})")
_SLUG_BYTES = 60
_ABANDONED_S = 60.0
"""Seconds after which a claim is of a process that was killed: writing takes milliseconds."""
_PATIENCE_S = 5.0
_ALL_IDS = "`kdgat questions list` shows every id"


def find_question(ws: Workspace, question_id: str) -> Question:
    """The question with a number, however it is padded.

    Raises:
        QuestionError: there is none, there are two, or its file is wrong.
    """
    return read_question(ws, _file_of(ws, question_id))


def create_question(ws: Workspace, settings: Mapping[str, Any], body: str) -> Question:
    """Write a new question under the next free number.

    Args:
        ws: the workspace.
        settings: those of the front matter; checked as those of a file are.
        body: the discussion.

    Raises:
        QuestionError: a setting is wrong; then nothing is written.
        StorageError: the file system refused.
    """
    given = {**settings, "title": checked_title(str(settings["title"]))}
    text = new_text(given, body)
    _check_text(text)
    while True:
        number = max((number_of(path) or 0 for path in question_files(ws)), default=0) + 1
        with _claim(ws, number, patience_s=0.0) as number:
            # What was written between the look and the claim is there by now.
            if any(number_of(path) == number for path in question_files(ws)):
                continue
            path = questions_folder(ws) / f"{number:04d}-{slug(given['title'])}.md"
            question = question_of(text, path, ws.show(path))
            write_text(path, text)
            return question


def change_question(
    ws: Workspace, question_id: str, change: Callable[[str, Question], str], wanted: dict[str, Any]
) -> Question:
    """Rewrite a question's file by what `change` makes of its text.

    Args:
        ws: the workspace.
        question_id: its number.
        change: gives the new text of the old one.
        wanted: fields that must have these values then; all others must stay as they were.

    Raises:
        QuestionError: there is no such question, it is being written by another process, or the
            change can't be made in a file that is written like this one; then it is as it was.
        StorageError: the file system refused.
    """
    number = int(find_question(ws, question_id).id)
    with _claim(ws, number, patience_s=_PATIENCE_S):
        path = _file_of(ws, question_id)
        text = read_text(ws, path)
        before = question_of(text, path, ws.show(path))
        changed = change(text, before)
        _check_text(changed)
        try:
            after = question_of(changed, path, ws.show(path))
        except QuestionError:
            after = None
        if after is None or after != replace(before, **wanted, body=after.body):
            raise QuestionError(
                f"'{before.file}' is written in a way that can't be changed by a command",
                hint=f"write {' and '.join(wanted) or 'the note'} into it by hand",
            )
        write_text(path, changed)
        return after


def checked_title(title: str) -> str:
    """A title on one line.

    Raises:
        QuestionError: it is empty, too long, or holds what no line can.
    """
    plain = " ".join(unicodedata.normalize("NFC", title).split())
    if not plain:
        raise QuestionError("the title is empty", hint="say in a line what is not known")
    if len(plain) > LONGEST_TITLE:
        raise QuestionError(
            f"the title has {len(plain):,} characters and may have {LONGEST_TITLE}",
            hint="ask in a line; the rest goes into the hypothesis or the body",
        )
    odd = next((each for each in plain if unicodedata.category(each) in ("Cc", "Cs")), "")
    if odd:
        raise QuestionError(f"the title has the character U+{ord(odd):04X}", hint="remove it")
    return plain


def slug(title: str) -> str:
    """A title as part of a file's name, in its own letters."""
    words = re.sub(r"[^\w]+", "-", title.casefold()).strip("-_")
    cut = words.encode()[:_SLUG_BYTES].decode(errors="ignore")
    if cut != words and "-" in cut:
        cut = cut.rpartition("-")[0]
    return cut.strip("-_") or "question"


def _file_of(ws: Workspace, question_id: str) -> Path:
    match = _ID.fullmatch(question_id.strip())
    found = [each for each in question_files(ws) if match and number_of(each) == int(match[1])]
    if not found:
        raise QuestionError(f"there is no question '{question_id:.40}'", hint=_ALL_IDS)
    if len(found) > 1:
        names = " and ".join(f"'{ws.show(each)}'" for each in found)
        raise QuestionError(f"{names} have one number", hint="rename one of them")
    return found[0]


def _check_text(text: str) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise QuestionError("the question is no valid Unicode", hint="type it anew") from error
    if size > LARGEST_BYTES:
        raise QuestionError(
            f"the question has {size / 1e6:.1f} MB and may have {LARGEST_BYTES / 1e6:.0f}",
            hint="keep what is long in a file of its own, and name it",
        )


@contextmanager
def _claim(ws: Workspace, number: int, *, patience_s: float) -> Iterator[int]:
    """Have a number to oneself; without patience the next one that nobody has."""
    folder = questions_folder(ws)
    deadline = time.monotonic() + patience_s
    while not _taken(folder / f".partial-{number:04d}"):
        if not patience_s:
            number += 1
        elif time.monotonic() > deadline:
            raise QuestionError(
                f"question {number:04d} is being written by another process", hint="try again"
            )
        else:
            time.sleep(0.01)
    try:
        yield number
    finally:
        (folder / f".partial-{number:04d}").unlink(missing_ok=True)


def _taken(claim: Path) -> bool:
    """Whether the claim is ours now; one that a killed process left is taken away for the next."""
    try:
        claim.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(claim, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        try:
            if time.time() - claim.stat().st_mtime > _ABANDONED_S:
                claim.unlink(missing_ok=True)
        except FileNotFoundError:
            pass
        return False
    except OSError as error:
        raise storage_error(claim, error) from error
    return True
